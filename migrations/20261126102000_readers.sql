-- What readers need: the views that they read by SQL, what the read API looks at on a miss, and the comparison with
-- Salesforce that goes before the shadow is trusted.

-- A SKU without a row may be one that a rejected record claims; a price list lacks the entries that are rejected. Cut,
-- because a record may be rejected for a value that no index takes.
create index rejects_sku_idx on shadow_sync.rejects (object, left(columns ->> 'sku', 255));
create index rejects_product_idx on shadow_sync.rejects (object, left(columns ->> 'product_id', 18));

-- A reader was answered by Salesforce with something else than the row: the record is fetched.
alter table shadow_sync.dirty
    drop constraint dirty_reason_check,
    add constraint dirty_reason_check check (reason in (
        'claim', 'doubt', 'person', 'unknown', 'gap', 'difference', 'bitmap', 'ambiguous', 'dead-letter', 'incomplete',
        'replay', 'reader'));

-- Up to when each object's table is complete, for the views: written by who runs the stream, every few seconds. An old
-- row says too little, never too much, because tables never go backwards.
create table shadow_sync.read_standing (
    object       text primary key,
    -- Of the columns that readers see: where one is a formula, no later than its last refresh. None: not known.
    live_through timestamptz,
    -- Whether a column that readers see is carried by no event: then only a read makes a row newer.
    by_reads     boolean not null default false,
    at           timestamptz not null default clock_timestamp()
);

-- Whether a process serves its readers from the shadow: on, off, tripped.
alter table shadow_sync.workers add column shadow_reads text check (shadow_reads in ('on', 'off', 'tripped'));

-- Answers of Salesforce held against the shadow, by the minute.
create table shadow_sync.read_comparisons (
    minute    timestamptz not null,
    -- products, product, prices, eligibility.
    question  text not null,
    agreed    bigint not null default 0,
    -- The shadow was behind and had caught up moments later.
    late      bigint not null default 0,
    differed  bigint not null default 0,
    primary key (minute, question)
);

-- Examples of where they differed: what was asked and which columns, no values.
create table shadow_sync.read_differences (
    id       bigint generated always as identity primary key,
    at       timestamptz not null default clock_timestamp(),
    question text not null,
    key      text not null,
    detail   text not null
);

create index read_differences_at_idx on shadow_sync.read_differences (at);

-- Views for readers by SQL. They run with the rights of their owner, so that a reader needs no more than SELECT on them;
-- nothing in them is the reader's to choose but its own conditions. They stand beside their tables, whatever the schema.
create view sf_product as
select t.product_id, t.sku, t.name, t.item_class, t.offering_type, t.plan_tier, t.vpn_region, t.updated_at,
       t.raw_payload,
       least(greatest(case when s.by_reads then t.read_end else t.updated_at end, s.live_through),
             coalesce(d.first_committed_at, d.since) - interval '1 millisecond') as as_of
  from sf_product_shadow t
  left join shadow_sync.read_standing s on s.object = 'Product2'
  left join shadow_sync.dirty d on d.object = 'Product2' and d.record_id = t.product_id
 where (select o.ready_at is not null from shadow_sync.objects o where o.object = 'Product2');

create view sf_pricebook as
select t.pricebook_entry_id, t.product_id, t.pricebook_id, t.unit_price, t.currency_iso_code, t.is_active, t.updated_at,
       t.raw_payload,
       least(greatest(case when s.by_reads then t.read_end else t.updated_at end, s.live_through),
             coalesce(d.first_committed_at, d.since) - interval '1 millisecond') as as_of
  from sf_pricebook_shadow t
  left join shadow_sync.read_standing s on s.object = 'PricebookEntry'
  left join shadow_sync.dirty d on d.object = 'PricebookEntry' and d.record_id = t.pricebook_entry_id
 where (select o.ready_at is not null from shadow_sync.objects o where o.object = 'PricebookEntry');

create view sf_account_eligibility as
select t.account_id, t.internet_eligibility, t.eligibility_source, t.updated_at, t.raw_payload,
       least(greatest(case when s.by_reads then t.read_end else t.updated_at end, s.live_through),
             coalesce(d.first_committed_at, d.since) - interval '1 millisecond') as as_of
  from sf_account_eligibility_shadow t
  left join shadow_sync.read_standing s on s.object = 'Account'
  left join shadow_sync.dirty d on d.object = 'Account' and d.record_id = t.account_id
 where (select o.ready_at is not null from shadow_sync.objects o where o.object = 'Account');
