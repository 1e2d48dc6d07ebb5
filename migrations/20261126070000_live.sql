-- What a live copy needs: the change log and what stands beside it.
--
-- Databases of the version before are filled: rows with as_of 0, jobs in every state, dirty marks without a commit
-- time. Nothing of that changes; all new columns have a value that means "before the change log began".

-- The end of the one number line. Who appends locks this row, so that the order of commits is the order of positions.
create table shadow_sync.log_head (
    only_row         boolean primary key default true check (only_row),
    position         bigint not null default 0,
    -- Partitions exist for the day before this one and for this one (UTC). Made by who appends.
    partitions_until date
);

insert into shadow_sync.log_head default values;

-- Received change events, never changed. Partitions are UTC days of received_at: change_log_YYYYMMDD.
create table shadow_sync.change_log (
    position        bigint not null,
    received_at     timestamptz not null,
    channel         text not null,
    replay_id       bytea not null,
    schema_id       text not null,
    payload         bytea not null,
    object          text not null,
    kind            text not null,
    transaction_key text not null,
    sequence_number integer not null,
    -- In Salesforce's time.
    committed_at    timestamptz not null,
    -- None: all records of the object, or nobody knows which.
    record_ids      text[] collate "C",
    primary key (position, received_at)
) partition by range (received_at);

create index change_log_channel_idx on shadow_sync.change_log (channel, position);
-- A redelivery is known by these, whatever its channel and replay id.
create index change_log_delivery_idx on shadow_sync.change_log (transaction_key, sequence_number, object);
create index change_log_received_idx on shadow_sync.change_log (received_at);

-- What was done with an event, per record; written in the commit that did it. Partitions as the change log's, by the
-- event's received_at: event_outcomes_YYYYMMDD.
create table shadow_sync.event_outcomes (
    position    bigint not null,
    received_at timestamptz not null,
    -- None: the event as a whole.
    record_id   text collate "C",
    outcome     text not null
        check (outcome in ('applied', 'skipped', 'dirty', 'rejected', 'deleted', 'unmapped', 'dead-letter', 'hole')),
    detail      jsonb,
    applied_at  timestamptz not null default clock_timestamp()
) partition by range (received_at);

create index event_outcomes_position_idx on shadow_sync.event_outcomes (position);
create index event_outcomes_record_idx on shadow_sync.event_outcomes (record_id, position);
-- What is rare is looked for.
create index event_outcomes_rare_idx on shadow_sync.event_outcomes (outcome, position) where outcome <> 'applied';

-- One row per channel: how far it is stored, applied and proven.
create table shadow_sync.checkpoints (
    channel          text primary key,
    -- Salesforce's position behind which to go on; none: no position is saved yet.
    replay_id        bytea,
    replay_at        timestamptz,
    -- The last event of this channel in the log.
    stored_position  bigint not null default 0,
    stored_events    bigint not null default 0,
    -- Up to here the log's events of this channel are applied.
    applied_position bigint not null default 0,
    applied_events   bigint not null default 0,
    applied_at       timestamptz,
    -- Salesforce's time up to which every event of the channel is stored.
    proven_until     timestamptz,
    -- Our time of the last message, with events or without.
    heard_at         timestamptz,
    state            text not null default 'connecting'
        check (state in ('connecting', 'live', 'standby', 'backoff', 'stopped', 'polling', 'paused', 'failed')),
    state_since      timestamptz not null default now(),
    -- Who streams it, as its lease names itself.
    worker           text,
    problem          jsonb
);

-- Objects that a channel should carry, and since when it is known that it does.
create table shadow_sync.channel_members (
    channel      text not null,
    object       text not null,
    -- When Salesforce last said that the sync user may subscribe to the object.
    permitted_at timestamptz,
    -- When the channel was last known to carry it: the org's metadata, or an event of the object on the channel.
    member_at    timestamptz,
    -- Why it is not known, in the engine's words.
    problem      jsonb,
    primary key (channel, object)
);

-- Spans in which a channel was not heard.
create table shadow_sync.outages (
    id       bigint generated always as identity primary key,
    channel  text not null,
    began_at timestamptz not null,
    ended_at timestamptz,
    why      jsonb
);

create index outages_began_idx on shadow_sync.outages (began_at);
create unique index outages_open_idx on shadow_sync.outages (channel) where ended_at is null;

-- Spans in which events of an object may be missing.
create table shadow_sync.holes (
    id         bigint generated always as identity primary key,
    object     text not null,
    channel    text,
    -- Salesforce's time; none: since ever.
    from_at    timestamptz,
    until_at   timestamptz,
    why        text not null
        check (why in ('first-position', 'position-lost', 'header-unreadable', 'overflow', 'wildcard', 'channel-changed',
                       'selection', 'permission', 'allocation', 'stream-lag')),
    detail     jsonb,
    -- What closes it: a catch-up with id comparison, or a whole backfill.
    needs      text not null default 'catch-up' check (needs in ('catch-up', 'backfill')),
    -- The log's end when it was opened or last widened.
    position   bigint not null,
    opened_at  timestamptz not null default clock_timestamp(),
    job_id     integer references shadow_sync.jobs on delete set null,
    closed_at  timestamptz,
    closed_how text
);

create index holes_open_idx on shadow_sync.holes (object) where closed_at is null;

-- Events that could not be processed, one row per record.
create table shadow_sync.dead_letters (
    id           bigint generated always as identity primary key,
    position     bigint not null,
    received_at  timestamptz not null,
    channel      text not null,
    replay_id    bytea not null,
    schema_id    text not null,
    -- Kept here only if the event is not in the log, because its header could not be read.
    payload      bytea,
    object       text,
    -- None: all records of the object, or nobody knows which.
    record_id    text collate "C",
    kind         text,
    committed_at timestamptz,
    -- Where it failed.
    stage        text not null check (stage in ('header', 'schema', 'decode', 'apply')),
    -- What its like is grouped by: a stable word.
    cause        text not null,
    message      text not null,
    parked_at    timestamptz not null default clock_timestamp(),
    -- How often it failed, this time included.
    attempts     integer not null default 1,
    closed_at    timestamptz,
    closed_how   text check (closed_how in ('retried', 'discarded', 'fetched', 'deleted')),
    closed_by    text
);

create index dead_letters_open_idx on shadow_sync.dead_letters (object, record_id) where closed_at is null;
create index dead_letters_position_idx on shadow_sync.dead_letters (position);

-- Dirty records: more reasons, and what the events behind a mark say.
alter table shadow_sync.dirty
    drop constraint dirty_reason_check,
    add constraint dirty_reason_check check (reason in (
        'claim', 'doubt', 'person', 'unknown', 'gap', 'difference', 'bitmap', 'ambiguous', 'dead-letter', 'incomplete',
        'replay')),
    -- The latest and the oldest commit of the marked events, in Salesforce's time; none: no event marked it.
    add column committed_at timestamptz,
    add column first_committed_at timestamptz,
    -- An event said that the record is gone: if a fetch does not find it, that is proof.
    add column deleted_noted boolean not null default false,
    -- Who marked it, each once: event, page, fetch, sweep, person …
    add column sources text[] not null default '{}';

create index dirty_due_idx on shadow_sync.dirty (object, not_before);

-- Parents whose children must be read again, because what derives from the parent changes without an event.
create table shadow_sync.dirty_parents (
    -- The children's object, and its field that names the parent.
    object       text not null,
    parent_field text not null,
    parent_id    text collate "C" not null,
    as_of        bigint not null,
    committed_at timestamptz,
    since        timestamptz not null default clock_timestamp(),
    attempts     integer not null default 0,
    not_before   timestamptz not null default clock_timestamp(),
    primary key (object, parent_field, parent_id)
);

-- What a tombstone was made by: a read has an end, an event a commit.
alter table shadow_sync.tombstones
    add column read_end timestamptz,
    add column committed_at timestamptz;

create index tombstones_deleted_idx on shadow_sync.tombstones (object, deleted_at);

alter table shadow_sync.objects
    -- Salesforce's time up to which catch-up has read every change.
    add column watermark timestamptz,
    -- When its ids were last compared with all of Salesforce's, in Salesforce's time.
    add column compared_at timestamptz,
    -- When the columns that no event carries were last read, in Salesforce's time.
    add column formula_refreshed_at timestamptz;

-- Fields that the sync user may no longer see: they keep their last values.
create table shadow_sync.frozen_fields (
    object text not null,
    field  text not null,
    since  timestamptz not null default now(),
    detail jsonb,
    primary key (object, field)
);

alter table shadow_sync.jobs
    drop constraint jobs_kind_check,
    add constraint jobs_kind_check check (kind in ('backfill', 'partial', 'catch-up', 'formulas')),
    -- The window of a catch-up, in Salesforce's time: from is included, to is not.
    add column from_at timestamptz,
    add column to_at timestamptz,
    -- Whether it ends with an id comparison.
    add column with_ids boolean not null default false,
    -- When the window's last page was merged.
    add column window_read_at timestamptz,
    -- Our time before its first request and after its last.
    add column reads_began_at timestamptz,
    add column reads_ended_at timestamptz;

-- Leases of different length, each in milliseconds.
alter table shadow_sync.leases
    add column lasts_ms integer not null default 15000 check (lasts_ms > 0);

-- Processes that work on this database, by their heartbeats.
create table shadow_sync.workers (
    id         uuid primary key,
    host_kind  text not null check (host_kind in ('daemon', 'console', 'command-line')),
    holder     text not null,
    version    text not null,
    started_at timestamptz not null default clock_timestamp(),
    seen_at    timestamptz not null default clock_timestamp(),
    -- What it does: leads, stands by, only looks.
    role       text not null check (role in ('leader', 'standby', 'observer')),
    -- Channels that it streams.
    streaming  text[] not null default '{}'
);

-- How each object stood: raw, later the worst of each minute.
create table shadow_sync.lag_samples (
    object         text not null,
    at             timestamptz not null,
    -- 0 raw, 60 a minute.
    span_s         smallint not null default 0,
    -- None: never loaded.
    lag_ms         bigint,
    backlog_events bigint not null,
    backlog_age_ms bigint,
    dirty          bigint not null default 0,
    primary key (at, object, span_s)
);

-- What went through since the sample before: events received and applied, failures by stage. Raw, later per minute.
create table shadow_sync.flow_samples (
    at     timestamptz not null,
    span_s smallint not null default 0,
    flow   text not null check (flow in ('received', 'applied', 'failed')),
    -- Of failures: connect, apply, fetch …
    stage  text not null default '',
    amount bigint not null,
    primary key (at, flow, stage, span_s)
);

-- API calls of ours, by the hour and by what they were for.
create table shadow_sync.api_usage (
    hour    timestamptz not null,
    purpose text not null,
    calls   bigint not null,
    primary key (hour, purpose)
);

-- What the org said of its limits, one row per minute and limit.
create table shadow_sync.quota_samples (
    limit_name text not null,
    at         timestamptz not null,
    used       bigint not null,
    maximum    bigint not null,
    primary key (limit_name, at)
);

create table shadow_sync.schedules (
    name        text primary key,
    last_run    timestamptz,
    last_took_ms bigint,
    -- done, failed, skipped.
    last_result text,
    last_detail jsonb,
    next_run    timestamptz
);

-- An order about everything of an object.
alter table shadow_sync.invalidations
    add column whole boolean not null default false;
