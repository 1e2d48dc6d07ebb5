/**
 * What an administrator sets up in the org, in the words of Salesforce's menus. Those words change between releases
 * and are in this one place.
 */
export interface SetupStep {
  text: string;
  /** A value to paste; `redirect` stands for the redirect address of the draft. */
  paste?: string;
}

export const setupSteps: SetupStep[] = [
  {
    text: 'In Setup, open External Client App Manager and choose New External Client App. Distribution state: Local.',
  },
  { text: 'Name it, and enable OAuth.', paste: 'Shadow Sync' },
  { text: 'Callback URL, exactly this line:', paste: 'redirect' },
  {
    text: 'OAuth scopes: Manage user data via APIs (api); Perform requests at any time (refresh_token, offline_access); Access unique user identifiers (openid).',
  },
  {
    text: 'Require Proof Key for Code Exchange (PKCE). Do not require a secret for the web server flow or the refresh token flow.',
  },
  {
    text: 'Under Policies, let admin approved users be pre-authorized with the permission set below; the refresh token stays valid until revoked.',
  },
  { text: 'Save, copy the consumer key (Salesforce mails a code first) and paste it above.' },
];

export const permissionSteps: string[] = [
  'System permission API Enabled.',
  'Read and View All Records on Accounts, Products and Price Books; price book entries follow Price Books.',
  'Read on every mapped field: Internet_Eligibility__c and Eligibility_Source__c of Account, and the product fields that your org has.',
];
