/** The org and the environments of the scripted engine: one plausible telecom company. */
import type { EnvironmentKind, EnvironmentView, OrgView, Problem, RecognisedOrg } from '../shapes';
import { at } from './clock';

export const authorizeUrl =
  'https://halden--uat.sandbox.my.salesforce.com/services/oauth2/authorize?response_type=code&client_id=3MVG9k0Zb7Qh2rT1uYpW&code_challenge=Xq2…';

export function environment(
  name: string,
  kind: EnvironmentKind,
  change: Partial<EnvironmentView> = {},
): EnvironmentView {
  return {
    name,
    kind,
    loginUrl: kind === 'demo' ? 'http://127.0.0.1:8790' : 'https://halden--uat.sandbox.my.salesforce.com',
    clientId: kind === 'demo' ? 'shadow-sync-demo' : '3MVG9k0Zb7Qh2rT1uYpWc4xVn8sLfE6jDmA5oGtHwRzK.xQ7c',
    signIn: 'browser',
    redirectUrl: 'http://localhost:8717/oauth/callback',
    database: 'embedded',
    cache: null,
    isOpen: false,
    isSimulated: kind === 'demo',
    ...change,
  };
}

export const org: OrgView = {
  orgId: '00D7Y000000kXqPUAU',
  orgName: 'Halden Telecom',
  edition: 'Enterprise Edition',
  isSandbox: true,
  isSimulated: false,
  instanceUrl: 'https://halden--uat.sandbox.my.salesforce.com',
  apiVersion: '67.0',
  userId: '0057Y000003mLqPQAU',
  username: 'm.lindqvist@halden.example',
  currency: 'EUR',
  isMultiCurrency: false,
  apiUsage: { used: 61_208, max: 100_000, ours: 3_412, at: at(40) },
};

export const sizes: Record<string, number> = { Product2: 8_412, PricebookEntry: 1_204_118, Account: 96_540 };
export const tables: Record<string, string> = {
  Product2: 'sf_product_shadow',
  PricebookEntry: 'sf_pricebook_shadow',
  Account: 'sf_account_eligibility_shadow',
};
export const objects = Object.keys(sizes);

export function recognise(address: string): RecognisedOrg {
  const host =
    address
      .trim()
      .replace(/^https?:\/\//, '')
      .split('/')[0] ?? '';
  if (!host.includes('.')) {
    throw {
      code: 'SS-5004',
      title: 'This is not the address of an org',
      cause: 'An address looks like https://acme.my.salesforce.com or https://test.salesforce.com.',
      mender: 'you',
      steps: [],
      paste: null,
      act: 'none',
      details: '',
    } satisfies Problem;
  }
  const sandbox = host.includes('--');
  return {
    loginUrl: `https://${host.replace('.lightning.force.com', '.my.salesforce.com')}`,
    recognisedAs: sandbox ? 'Sandbox uat of halden' : 'Production org halden',
    proposedKind: sandbox ? 'staging' : 'production',
  };
}
