-- The three built-in shadow tables. Other services read them: the columns before as_of are a promise.
--
-- Ids sort by bytes ("C"), as the code that merges them does, whatever the database's locale.

create table sf_product_shadow (
    product_id      text collate "C" primary key,
    sku             text not null,
    name            text not null,
    item_class      text,
    offering_type   text,
    plan_tier       text,
    vpn_region      text,
    updated_at      timestamptz not null,
    raw_payload     jsonb not null,
    as_of           bigint not null,
    system_modstamp timestamptz not null,
    created_date    timestamptz not null,
    read_no         bigint not null,
    read_end        timestamptz not null,
    row_hash        bytea not null,
    -- Deferrable, so that SKUs may swap between rows within a transaction; checked at once otherwise.
    constraint sf_product_shadow_sku_key unique (sku) deferrable initially immediate
);

create table sf_pricebook_shadow (
    pricebook_entry_id text collate "C" primary key,
    product_id         text collate "C" not null references sf_product_shadow on delete cascade,
    pricebook_id       text not null,
    unit_price         numeric(12,2) not null,
    currency_iso_code  text not null,
    is_active          boolean not null,
    updated_at         timestamptz not null,
    raw_payload        jsonb not null,
    as_of              bigint not null,
    system_modstamp    timestamptz not null,
    created_date       timestamptz not null,
    read_no            bigint not null,
    read_end           timestamptz not null,
    row_hash           bytea not null
);

create index sf_pricebook_shadow_product_id_idx on sf_pricebook_shadow (product_id);

create table sf_account_eligibility_shadow (
    account_id           text collate "C" primary key,
    internet_eligibility text,
    eligibility_source   text,
    updated_at           timestamptz not null,
    raw_payload          jsonb not null,
    as_of                bigint not null,
    system_modstamp      timestamptz not null,
    created_date         timestamptz not null,
    read_no              bigint not null,
    read_end             timestamptz not null,
    row_hash             bytea not null
);
