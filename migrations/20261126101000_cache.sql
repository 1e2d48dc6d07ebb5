-- Caches: how far each order to delete keys got, by which rules keys are found, what was flushed by hand, and which
-- servers the keys were deleted on.
--
-- Orders that are there already wait: nobody has delivered one before this version.

alter table shadow_sync.invalidations
    -- When the earliest of the events arrived that changed the rows; none: a read changed them.
    add column received_at timestamptz,
    -- The end of the write-ahead log when the order was first seen, so behind its commit: a streaming replica that
    -- replayed up to there shows the change.
    add column seen_lsn pg_lsn,
    -- Keys that templates name were deleted, once and then again after the delay.
    add column keys_at timestamptz,
    add column keys_again_at timestamptz,
    -- The same for everything that the object's patterns match.
    add column patterns_at timestamptz,
    add column patterns_again_at timestamptz,
    -- All of it.
    add column done_at timestamptz;

create index invalidations_keys_idx on shadow_sync.invalidations (id) where keys_at is null;
create index invalidations_open_idx on shadow_sync.invalidations (id) where done_at is null;
create index invalidations_done_idx on shadow_sync.invalidations (done_at) where done_at is not null;

-- What a person said of an object's keys; without a row the built-in rules hold.
create table shadow_sync.cache_rules (
    object      text primary key,
    patterns    text[] not null,
    templates   text[] not null,
    -- The templates name every key: patterns are not deleted any more when a row changes.
    is_complete boolean not null default false,
    complete_by text,
    complete_at timestamptz,
    updated_by  text not null,
    updated_at  timestamptz not null default now()
);

-- Servers of the cache as they were when keys were last deleted there. Another run_id at an address is another server,
-- or the same one started again.
create table shadow_sync.cache_servers (
    address    text primary key,
    run_id     text not null,
    started_at timestamptz,
    seen_at    timestamptz not null default now()
);

-- What people flushed.
create table shadow_sync.flushes (
    id             bigint generated always as identity primary key,
    kind           text not null check (kind in ('all', 'catalog', 'eligibility', 'sku', 'account', 'pattern')),
    scope          text not null,
    state          text not null default 'running' check (state in ('running', 'done', 'stopped', 'failed')),
    seen           bigint not null default 0,
    deleted        bigint not null default 0,
    started_by     text not null,
    host           text not null,
    started_at     timestamptz not null default clock_timestamp(),
    -- Told by who runs it, every moment.
    beat_at        timestamptz not null default clock_timestamp(),
    ended_at       timestamptz,
    stop_requested boolean not null default false,
    problem        jsonb
);
