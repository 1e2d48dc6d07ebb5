// The generated Prisma client over the views of the shadow, by the pg adapter.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { Prisma, PrismaClient } from './generated/index.js';

const connectionString = process.env.DATABASE_URL;
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString }) });
const database = new pg.Client({ connectionString });
await database.connect();

/** Which of Prisma's types a column of PostgreSQL is read as. */
const TYPES = {
  text: 'String',
  numeric: 'Decimal',
  boolean: 'Boolean',
  jsonb: 'Json',
  'timestamp with time zone': 'DateTime',
};

/** The models as the schema file has them: view, and per column its type and whether it may be empty. */
function models() {
  const schema = readFileSync(new URL('./schema.prisma', import.meta.url), 'utf8');
  return [...schema.matchAll(/^model (\w+) \{\n([^}]+)\}/gm)].map(([, model, body]) => {
    const view = /@@map\("(\w+)"\)/.exec(body)[1];
    const columns = new Map();
    for (const line of body.split('\n')) {
      const field = /^ {2}(\w+)\s+(\w+)(\?|\[\])?(.*)$/.exec(line);
      if (!field || field[3] === '[]' || field[4].includes('@relation')) continue;
      const [, name, type, mark, rest] = field;
      columns.set(/@map\("(\w+)"\)/.exec(rest)?.[1] ?? name, { type, isOptional: mark === '?' });
    }
    return { model, view, columns };
  });
}

const tests = {
  async 'the schema says what information_schema says of every view'() {
    const found = models();
    assert.deepEqual(found.map(({ view }) => view).sort(), ['sf_account_eligibility', 'sf_pricebook', 'sf_product']);
    for (const { view, columns } of found) {
      const { rows } = await database.query(
        `select v.column_name, v.data_type, t.is_nullable
           from information_schema.columns v
           left join information_schema.columns t
             on t.table_schema = v.table_schema and t.table_name = v.table_name || '_shadow'
            and t.column_name = v.column_name and v.column_name <> 'as_of'
          where v.table_schema = current_schema() and v.table_name = $1`,
        [view],
      );
      assert.deepEqual(rows.map((row) => row.column_name).sort(), [...columns.keys()].sort(), view);
      for (const row of rows) {
        const column = columns.get(row.column_name);
        assert.equal(column.type, TYPES[row.data_type], `${view}.${row.column_name}`);
        // A view's columns may all be empty by their description; what its table forbids stays forbidden.
        assert.equal(column.isOptional, row.is_nullable !== 'NO', `${view}.${row.column_name}`);
      }
    }
  },

  async 'products are read with their prices, in every digit'() {
    const product = await prisma.product.findFirst({ where: { prices: { some: {} } }, include: { prices: true } });
    assert.ok(product.sku && product.prices.length > 0);
    const again = await prisma.product.findUnique({ where: { sku: product.sku } });
    assert.equal(again.id, product.id);
    const { rows } = await database.query(
      'select pricebook_entry_id, unit_price::text from sf_pricebook where product_id = $1',
      [product.id],
    );
    const digits = new Map(rows.map((row) => [row.pricebook_entry_id, row.unit_price]));
    assert.equal(product.prices.length, digits.size);
    for (const price of product.prices) {
      assert.ok(price.unitPrice instanceof Prisma.Decimal);
      assert.equal(price.unitPrice.toFixed(2), digits.get(price.id));
    }
  },

  async 'every row says up to when it is complete'() {
    for (const model of [prisma.product, prisma.price, prisma.accountEligibility]) {
      const count = await model.count();
      assert.ok(count > 0);
      assert.equal(await model.count({ where: { asOf: { not: null } } }), count);
      const oldest = await model.findFirst({ orderBy: { asOf: 'asc' } });
      assert.ok(Date.now() - oldest.asOf.getTime() < 10 * 60 * 1000, oldest.asOf.toISOString());
    }
  },

  async 'a catalogue is filtered and paged'() {
    const first = await prisma.product.findFirst({ where: { itemClass: { not: null } } });
    const where = { itemClass: first.itemClass };
    const page = await prisma.product.findMany({ where, orderBy: { id: 'asc' }, take: 5 });
    assert.ok(page.length > 0 && page.every((product) => product.itemClass === first.itemClass));
    const rest = await prisma.product.findMany({ where, orderBy: { id: 'asc' }, cursor: { id: page.at(-1).id }, skip: 1 });
    assert.equal(page.length + rest.length, await prisma.product.count({ where }));
  },

  async 'nothing is shown of an object that is not ready'() {
    await database.query(`update shadow_sync.objects set ready_at = null where object = 'Account'`);
    try {
      assert.equal(await prisma.accountEligibility.count(), 0);
    } finally {
      await database.query(`update shadow_sync.objects set ready_at = now() where object = 'Account'`);
    }
    assert.ok((await prisma.accountEligibility.count()) > 0);
  },

  async 'no migration may touch what Shadow Sync makes'() {
    const config = readFileSync(new URL('./prisma.config.ts', import.meta.url), 'utf8');
    const { rows } = await database.query(
      `select table_name from information_schema.tables where table_schema = 'public' and table_name like 'sf\\_%'`,
    );
    for (const { table_name: table } of rows) {
      assert.ok(config.includes(`'public.${table}'`), `${table} is not declared external`);
    }
    assert.ok(rows.length >= 6);
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`ok   prisma: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL prisma: ${name}\n${error.stack}`);
  }
}
await database.end();
await prisma.$disconnect();
process.exit(failed === 0 ? 0 : 1);
