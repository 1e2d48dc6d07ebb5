-- A change log that ends earlier than it did: a backup was restored, or a standby without the last commits took over.
alter table shadow_sync.holes drop constraint holes_why_check;
alter table shadow_sync.holes add constraint holes_why_check
    check (why in ('first-position', 'position-lost', 'header-unreadable', 'overflow', 'wildcard', 'channel-changed',
                   'selection', 'permission', 'allocation', 'stream-lag', 'set-back'));
