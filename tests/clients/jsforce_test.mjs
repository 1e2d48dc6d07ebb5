// jsforce against the simulated org: sign in, refresh, describe, limits, paged query, Bulk 2.0 query.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import jsforce from 'jsforce';

const org = JSON.parse(process.env.SIMULATED_ORG);
const version = '67.0';
const clientVersion = createRequire(import.meta.url)('jsforce/package.json').version;

/** Asks the org's control page for something. */
async function control(method, path, body) {
  const page = new URL(org.control_page);
  const reply = await fetch(`${page.origin}/api/${path}`, {
    method,
    headers: { Authorization: `Bearer ${page.hash.slice(1)}` },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  assert.ok(reply.ok, await reply.clone().text());
  return reply.json();
}

/** Signs in by SOAP, as most scripts do. */
async function signIn() {
  const connection = new jsforce.Connection({ loginUrl: org.base_url, version });
  await connection.login(org.username, org.password);
  return connection;
}

/** Signs in as a browser would: authorize page, callback, code, PKCE. */
async function signInByBrowser() {
  const oauth2 = new jsforce.OAuth2({
    loginUrl: org.base_url,
    clientId: org.client_id,
    redirectUri: 'http://localhost:8717/oauth/callback',
    useVerifier: true,
  });
  const page = await fetch(oauth2.getAuthorizationUrl({ scope: 'api refresh_token' }), { redirect: 'manual' });
  assert.equal(page.status, 302);
  const code = new URL(page.headers.get('location')).searchParams.get('code');
  const connection = new jsforce.Connection({ oauth2, version });
  await connection.authorize(code);
  return connection;
}

async function streamed(stream) {
  const records = [];
  for await (const record of stream) records.push(record);
  return records;
}

const tests = {
  async 'signs in by SOAP and learns org and user'() {
    const connection = await signIn();
    assert.equal(connection.userInfo.organizationId, org.org_id);
    const identity = await connection.identity();
    assert.equal(identity.username, org.username);
  },

  async 'is told when the password is wrong'() {
    const connection = new jsforce.Connection({ loginUrl: org.base_url, version });
    await assert.rejects(connection.login(org.username, 'wrong'), /INVALID_LOGIN/);
  },

  async 'signs in by browser with PKCE, and refreshes when the session ends'() {
    const connection = await signInByBrowser();
    assert.equal(connection.userInfo.organizationId, org.org_id);
    const before = connection.accessToken;
    await control('POST', 'sessions/expire');
    const count = await connection.query('SELECT COUNT() FROM Account');
    assert.equal(count.totalSize, 320);
    assert.notEqual(connection.accessToken, before);
    await connection.logout(true);
  },

  async 'lists the versions'() {
    const connection = await signIn();
    const versions = await connection.request('/services/data');
    assert.equal(versions.at(-1).version, version);
  },

  async 'describes objects'() {
    const connection = await signIn();
    const everything = await connection.describeGlobal();
    assert.ok(everything.sobjects.some(({ name }) => name === 'PricebookEntry'));
    const described = await connection.describe('Account');
    const field = described.fields.find(({ name }) => name === 'Internet_Eligibility__c');
    assert.deepEqual([field.type, field.custom], ['picklist', true]);
  },

  async 'reads limits and usage'() {
    const connection = await signIn();
    const limits = await connection.limits();
    assert.ok(limits.DailyApiRequests.Remaining < limits.DailyApiRequests.Max);
    assert.equal(connection.limitInfo.apiUsage.limit, limits.DailyApiRequests.Max);
  },

  async 'reads a query page by page'() {
    const connection = await signIn();
    const first = await connection.query('SELECT Id, Product2.Name FROM PricebookEntry');
    assert.deepEqual([first.totalSize, first.done, first.records.length], [4500, false, 2000]);
    const second = await connection.queryMore(first.nextRecordsUrl);
    assert.equal(second.records.length, 2000);
    const everything = await connection
      .query('SELECT Id FROM PricebookEntry')
      .execute({ autoFetch: true, maxFetch: 10_000, responseTarget: 'Records' });
    assert.equal(new Set(everything.map(({ Id }) => Id)).size, 4500);
    const none = await connection.query('SELECT Id FROM Account WHERE IsDeleted = true', { scanAll: true });
    assert.equal(none.totalSize, 0);
  },

  async 'reads records by id and by condition'() {
    const connection = await signIn();
    const found = await connection
      .sobject('Product2')
      .find({ Family: 'SIM', IsActive: true }, ['Id', 'Name', 'CreatedDate'])
      .sort({ Name: -1 })
      .limit(3);
    assert.equal(found.length, 3);
    const again = await connection.sobject('Product2').retrieve(found.map(({ Id }) => Id));
    assert.deepEqual(
      again.map(({ Name }) => Name),
      found.map(({ Name }) => Name),
    );
  },

  async 'reads a bulk result'() {
    const connection = await signIn();
    const soql = 'SELECT Id, Name, UnitPrice FROM PricebookEntry';
    const records = await streamed(await connection.bulk2.query(soql, { pollInterval: 100, pollTimeout: 20_000 }));
    assert.equal(new Set(records.map(({ Id }) => Id)).size, 4500);
    assert.ok(records.every(({ UnitPrice }) => Number.isFinite(Number(UnitPrice))));
  },

  async 'sees refusals as its own errors'() {
    const connection = await signIn();
    await assert.rejects(connection.query('SELECT Nope FROM Account'), { errorCode: 'INVALID_FIELD' });
    const bulk = connection.bulk2.query('SELECT COUNT() FROM Account');
    await assert.rejects(bulk, /not supported in Bulk Query/);
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack ?? error}`);
  }
}
console.log(`jsforce ${clientVersion}: ${Object.keys(tests).length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
