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
  code: 'SS-8003',
  title: 'The cache cannot be reached',
  cause: 'Redis on cache-1:6379 cannot be reached: connection refused.',
  mender: 'platformEngineer',
  steps: [
    'Start it, or check the address in redis_url and the network between.',
    'Changes wait meanwhile and are told to the cache when it is back.',
  ],
  paste: null,
  act: 'checkAgain',
  details: 'cache-1:6379 os error 111',
};

export const cacheDenied: Problem = {
  code: 'SS-8007',
  title: 'The cache forbids a command that is needed',
  cause: 'Redis on cache-1:6379 does not let the user shadow run SCAN.',
  mender: 'platformEngineer',
  steps: ['Allow it to the user, then check again.'],
  paste: 'ACL SETUSER shadow ~catalog:* ~eligibility:* +scan +unlink +memory|usage',
  act: 'checkAgain',
  details: 'NOPERM this user has no permissions to run the scan command',
};

export const emptyPattern: Problem = {
  code: 'SS-8002',
  title: 'This is not a pattern of keys',
  cause: 'The pattern is empty.',
  mender: 'you',
  steps: ['Write a pattern such as catalog:*'],
  paste: null,
  act: 'none',
  details: '',
};

export const nameMissing: Problem = {
  code: 'SS-8023',
  title: 'The environment’s name is missing',
  cause: 'This flush asks for the name of the environment.',
  mender: 'you',
  steps: ['Type the name and flush again.'],
  paste: null,
  act: 'none',
  details: '',
};
