import { defineConfig } from 'prisma/config';

export default defineConfig({
  schema: 'schema.prisma',
  experimental: { externalTables: true },
  // Shadow Sync makes and changes these: no migration of the shop may.
  tables: {
    external: [
      'public.sf_product',
      'public.sf_pricebook',
      'public.sf_account_eligibility',
      'public.sf_product_shadow',
      'public.sf_pricebook_shadow',
      'public.sf_account_eligibility_shadow',
    ],
  },
  datasource: { url: process.env.DATABASE_URL ?? '' },
});
