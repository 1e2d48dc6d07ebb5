/** Problems that the scenes run into, as the engine's catalogue words them. */
import type { Problem } from '../shapes';

export const databaseDown: Problem = {
  code: 'SS-3001',
  title: 'The database does not answer',
  cause: 'Connecting to shop-db-1:5432 was refused. Nothing is lost: what Salesforce has can be read again.',
  mender: 'databaseAdmin',
  steps: ['See that PostgreSQL runs on shop-db-1 and accepts connections on port 5432.'],
  paste: null,
  act: 'reconnect',
  details: 'host=shop-db-1 port=5432 os error 111',
};

export const jobExpired: Problem = {
  code: 'SS-4007',
  title: 'Salesforce no longer keeps the results of this job',
  cause: 'Results are kept for seven days. The rows merged so far stay; the rest has to be asked for again.',
  mender: 'you',
  steps: ['Start the backfill of PricebookEntry again: rows that are already equal are not written again.'],
  paste: null,
  act: 'resumeJob',
  details: 'job 7507Y00000QkB2cQAF page 6 status 404',
};

export const redirectMismatch: Problem = {
  code: 'SS-1107',
  title: 'The redirect address is not registered',
  cause:
    'Salesforce answered redirect_uri_mismatch: its app does not list the address this console listens on.',
  mender: 'salesforceAdmin',
  steps: [
    'In Setup, open External Client App Manager, choose Shadow Sync, then Edit Settings.',
    'Under OAuth Settings, add this line to Callback URL and save. Salesforce may need 10 minutes.',
  ],
  paste: 'http://localhost:8717/oauth/callback',
  act: 'signIn',
  details: 'error=redirect_uri_mismatch',
};

export const topicGone: Problem = {
  code: 'SS-2041',
  title: 'Salesforce no longer publishes changes of PricebookEntry',
  cause:
    'The subscription ended with topic.not.found. Most likely PricebookEntry was taken off the list of selected entities. Nothing is lost: the checkpoint stands, and a catch-up fetches what is missing.',
  mender: 'salesforceAdmin',
  steps: ['Setup → Change Data Capture → move “Price Book Entry” to Selected Entities → Save.'],
  paste: null,
  act: 'checkAgain',
  details: 'channel=/data/PricebookEntryChangeEvent rpc 7c1e4f0a-51d3 status=InvalidArgument',
};

export const cacheDown: Problem = {
  code: 'SS-6001',
  title: 'The cache does not answer',
  cause:
    'Connecting to cache-1:6379 was refused. Keys that must go are kept in order and are deleted when it answers.',
  mender: 'platformEngineer',
  steps: ['See that Redis runs on cache-1 and accepts connections on port 6379.'],
  paste: null,
  act: 'checkAgain',
  details: 'cache-1:6379 os error 111',
};

export const cacheDenied: Problem = {
  code: 'SS-6003',
  title: 'The cache does not allow SCAN',
  cause:
    'The user shadow may not run SCAN, so that keys can be found by template only. Nothing under a pattern is deleted.',
  mender: 'platformEngineer',
  steps: ['Allow the user SCAN and UNLINK on the patterns that are flushed.'],
  paste: 'ACL SETUSER shadow ~catalog:* ~eligibility:* +scan +unlink +memory|usage',
  act: 'checkAgain',
  details: 'NOPERM this user has no permissions to run the scan command',
};

export const emptyPattern: Problem = {
  code: 'SS-6010',
  title: 'The pattern is empty',
  cause: 'An empty pattern would match nothing, and is most likely a mistake.',
  mender: 'you',
  steps: ['Type a pattern such as catalog:*.'],
  paste: null,
  act: 'none',
  details: '',
};

export const nameMissing: Problem = {
  code: 'SS-6011',
  title: 'The name of the environment is missing',
  cause: 'This flush asks for the name of the environment.',
  mender: 'you',
  steps: ['Type the name and flush again.'],
  paste: null,
  act: 'none',
  details: '',
};
