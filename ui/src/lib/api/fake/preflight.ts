/** The checks and the plan of a first load. */
import type { BackfillPlan, CheckColour, CheckView, PreflightView } from '../shapes';
import { at } from './clock';
import { PAGE } from './jobs';
import { sizes } from './org';

function check(
  group: string,
  title: string,
  colour: CheckColour,
  finding: string,
  more: Partial<CheckView> = {},
): CheckView {
  return {
    id: title,
    group,
    title,
    colour,
    finding,
    cure: [],
    paste: null,
    code: null,
    tookMs: 84,
    apiCalls: 0,
    ...more,
  };
}

export const preflight: PreflightView = {
  checks: [
    check('Sign-in', 'Org answers', 'green', 'https://halden--uat.sandbox.my.salesforce.com'),
    check(
      'Sign-in',
      'Signed in',
      'green',
      'Halden Telecom · Enterprise Edition · sandbox uat · 00D7Y000000kXqPUAU',
    ),
    check('Objects and fields', 'Product2 can be read', 'green', '31 fields, 4 of 4 mapped fields', {
      apiCalls: 1,
    }),
    check('Objects and fields', 'PricebookEntry can be read', 'green', '14 fields', { apiCalls: 1 }),
    check(
      'Objects and fields',
      'Account.Internet_Eligibility__c',
      'red',
      'The sync user may not see this field',
      {
        code: 'SS-2011',
        cure: [
          'In Setup, open Permission Sets, choose Shadow Sync, then Object Settings, Accounts.',
          'Give Read on this field and save.',
        ],
        paste: 'Internet_Eligibility__c',
      },
    ),
    check('Limits', 'Daily API limit', 'yellow', '61,208 of 100,000 calls used', {
      cure: ['Background work stops at 80 %; a first backfill needs about 38 calls.'],
    }),
    check('Limits', 'Limits of the org', 'grey', 'The sync user may not view Setup; nothing depends on it'),
    check('Database', 'Database can be written', 'green', 'PostgreSQL 18.4, embedded'),
  ],
  green: 5,
  yellow: 1,
  red: 1,
  grey: 1,
  apiCalls: 4,
};

export function plan(chosen: string[]): BackfillPlan {
  const planned = chosen.map((object) => ({
    object,
    records: sizes[object] ?? 0,
    countedAt: at(0),
    apiCalls: 6 + Math.ceil((sizes[object] ?? 0) / PAGE),
    resumes: null,
  }));
  return { objects: planned, apiCalls: planned.reduce((sum, one) => sum + one.apiCalls, 0), seconds: 40 };
}
