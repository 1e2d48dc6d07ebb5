-- Our own state. Nothing here is read by other services.

create schema if not exists shadow_sync;

-- The one org and the one sync user whose eyes this database has.
create table shadow_sync.binding (
    only_row     boolean primary key default true check (only_row),
    org_id       text not null,
    org_name     text not null,
    user_id      text not null,
    user_name    text not null,
    is_simulated boolean not null,
    bound_at     timestamptz not null default now()
);

create table shadow_sync.settings (
    name       text primary key,
    value      jsonb not null,
    updated_at timestamptz not null default now()
);

-- One row per mapped object. Who writes its shadow table locks it first, parents before children.
create table shadow_sync.objects (
    object            text primary key,
    table_name        text not null,
    state             text not null default 'pending'
        check (state in ('pending', 'backfilling', 'catching-up', 'live', 'paused', 'failed')),
    -- The state to go back to when a person resumes it.
    resume_state      text,
    state_since       timestamptz not null default now(),
    problem           jsonb,
    -- When its first backfill was complete and counted; not ready before.
    ready_at          timestamptz,
    -- Salesforce's time at the end of its last whole load, and the form its rows had.
    loaded_at         timestamptz,
    loaded_shape      text,
    -- The latest request that found a record equal to its row.
    confirmed_read_no bigint not null default 0
);

-- Numbers of requests: a later request has a greater one.
create sequence shadow_sync.read_no;

create table shadow_sync.jobs (
    id                integer generated always as identity primary key,
    object            text not null,
    kind              text not null check (kind in ('backfill', 'partial')),
    condition         text,
    state             text not null default 'pending'
        check (state in ('pending', 'running', 'paused', 'cancelled', 'done', 'failed')),
    requested         text not null default 'run' check (requested in ('run', 'pause', 'cancel')),
    stage             text not null default 'describing',
    started_by        text not null,
    created_at        timestamptz not null default now(),
    started_at        timestamptz,
    ended_at          timestamptz,
    -- Time spent running, over all its runs.
    took_ms           bigint not null default 0,
    run_since         timestamptz,
    bulk_job_id       text,
    api_version       text,
    soql              text,
    shape             text,
    stamps_only       boolean not null default false,
    as_of             bigint,
    read_no           bigint,
    read_end          timestamptz,
    -- Records in Salesforce as counted before the start, then as announced by the Bulk job.
    records_total     bigint,
    records_read      bigint not null default 0,
    records_inserted  bigint not null default 0,
    records_updated   bigint not null default 0,
    records_stamped   bigint not null default 0,
    records_equal     bigint not null default 0,
    records_older     bigint not null default 0,
    records_rejected  bigint not null default 0,
    records_entered   bigint not null default 0,
    records_removed   bigint not null default 0,
    stripped_nuls     bigint not null default 0,
    api_calls         bigint not null default 0,
    -- Removals that wait for a person's consent, and whether it was given.
    removals_waiting  integer not null default 0,
    removals_consent  boolean not null default false,
    problem           jsonb
);

create index jobs_object_idx on shadow_sync.jobs (object, id desc);
create unique index jobs_open_idx on shadow_sync.jobs (object)
    where state in ('pending', 'running', 'paused');

-- Pages of a job's results, each known by the locator that asks for it; the first has none.
create table shadow_sync.job_pages (
    job_id         integer not null references shadow_sync.jobs on delete cascade,
    page           integer not null check (page > 0),
    locator        text,
    records        integer,
    records_merged integer not null default 0,
    merged_at      timestamptz,
    -- Where the next page is; none behind the last.
    next_locator   text,
    is_last        boolean not null default false,
    primary key (job_id, page)
);

-- Ids that a job saw without writing them; those that it wrote carry its number.
create table shadow_sync.job_seen (
    job_id integer not null references shadow_sync.jobs on delete cascade,
    ids    text[] not null
);

create index job_seen_job_idx on shadow_sync.job_seen (job_id);
-- Ids do not compress well enough to pay for the attempt.
alter table shadow_sync.job_seen alter column ids set storage external;

-- Ids that a job must read whole, because their stamp differs from the row's.
create table shadow_sync.job_fetch (
    job_id    integer not null references shadow_sync.jobs on delete cascade,
    record_id text collate "C" not null,
    primary key (job_id, record_id)
);

-- Rows that a job's results lack, until a person agrees that they are removed or they are found to be there.
create table shadow_sync.job_removals (
    job_id    integer not null references shadow_sync.jobs on delete cascade,
    record_id text collate "C" not null,
    primary key (job_id, record_id)
);

-- Records that cannot be stored, whole, so that they can enter without being read again.
create table shadow_sync.rejects (
    object          text not null,
    record_id       text collate "C" not null,
    reason          text not null,
    detail          jsonb not null,
    -- The unique value it waits for; only where that is the reason.
    claim           text,
    -- The parent it waits for; only where that is the reason.
    parent_id       text collate "C",
    -- Column texts by name.
    columns         jsonb not null,
    raw_payload     jsonb not null,
    as_of           bigint not null,
    system_modstamp timestamptz not null,
    created_date    timestamptz not null,
    read_no         bigint not null,
    read_end        timestamptz not null,
    row_hash        bytea not null,
    since           timestamptz not null default now(),
    tried_at        timestamptz not null default now(),
    primary key (object, record_id)
);

create index rejects_claim_idx on shadow_sync.rejects (object, claim) where claim is not null;
create index rejects_parent_idx on shadow_sync.rejects (object, parent_id) where parent_id is not null;

create table shadow_sync.tombstones (
    object      text not null,
    record_id   text collate "C" not null,
    as_of       bigint not null,
    read_no     bigint not null,
    -- Without proof: the record was absent from a read, which may have another cause than deletion.
    presumed    boolean not null,
    deleted_at  timestamptz not null default now(),
    primary key (object, record_id)
);

-- Records that must be fetched before they are right again.
create table shadow_sync.dirty (
    object     text not null,
    record_id  text collate "C" not null,
    reason     text not null check (reason in ('claim', 'doubt', 'person')),
    -- The unique value that several records claim.
    claim      text,
    as_of      bigint not null,
    since      timestamptz not null default now(),
    attempts   integer not null default 0,
    not_before timestamptz not null default now(),
    primary key (object, record_id)
);

create table shadow_sync.leases (
    name          text primary key,
    token         uuid not null,
    holder        text not null,
    -- The server process of the holder's own connection: when it is gone, so is the lease.
    backend_pid   integer,
    backend_start timestamptz,
    acquired_at   timestamptz not null default now(),
    expires_at    timestamptz not null
);

-- Both sides counted, with the times they are of.
create table shadow_sync.counts (
    id            bigint generated always as identity primary key,
    object        text not null,
    salesforce    bigint,
    salesforce_at timestamptz,
    shadow        bigint not null,
    rejected      bigint not null,
    dirty         bigint not null,
    shadow_at     timestamptz not null,
    took_ms       integer not null,
    problem       jsonb
);

create index counts_object_idx on shadow_sync.counts (object, id desc);

create table shadow_sync.audit (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default now(),
    who      text not null,
    host     text not null,
    act      text not null,
    sentence text not null,
    result   text not null,
    took_ms  bigint
);

-- Orders to delete cache keys, one per commit and object, written in the commit that changed the rows.
create table shadow_sync.invalidations (
    id         bigint generated always as identity primary key,
    object     text not null,
    created_at timestamptz not null default now(),
    -- Records that came in or changed; what they hold now stands in their rows.
    ids        text[] not null,
    -- What keys may have been made of before: {"id", "key", "parent", "gone"} for each changed or removed record.
    before     jsonb not null default '[]'
);
