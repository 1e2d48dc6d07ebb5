-- A writer holds its lease with a key share lock, which lets the holder prolong it meanwhile. A successor changes the
-- token; because the token is a key, that waits until the writer's transaction has ended.

create unique index leases_token_key on shadow_sync.leases (token);
