-- A lease is void on another server, and after a restart: what its holder read and planned was of the server before.
-- A standby that takes over has the row too, but did not start at that moment. None: taken by the version before.

alter table shadow_sync.leases
    add column server_started_at timestamptz;
