-- Side reads: reads of some fields of every record, for formulas and for fields that a mapping gained.

-- What the rows hold since the last whole load or side read: the selected fields, and what fills the columns. Only what
-- came since is read on the side.
alter table shadow_sync.objects
    add column loaded_fields jsonb,
    -- The last side read: its request, and its end in Salesforce's time.
    add column side_read_no bigint not null default 0,
    add column side_end timestamptz;

-- When a side read began, in Salesforce's time: whole reads that ended later overlap with it.
alter table shadow_sync.jobs
    add column side_began_at timestamptz,
    drop constraint jobs_kind_check,
    add constraint jobs_kind_check check (kind in ('backfill', 'partial', 'catch-up', 'formulas', 'fields'));
