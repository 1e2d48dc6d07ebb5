// salesforce-pubsub-api-client against the simulated org: sign in, subscribe, decode, replay, keep-alive, refusals.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import PubSubApiClient from 'salesforce-pubsub-api-client';

const org = JSON.parse(process.env.SIMULATED_ORG);
// The package does not export its package.json, so it is read from beside this file.
const manifest = new URL('node_modules/salesforce-pubsub-api-client/package.json', import.meta.url);
const clientVersion = JSON.parse(readFileSync(manifest)).version;
const ALL = '/data/ChangeEvents';
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

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

const create = async (object, fields) => (await control('POST', `records/${object}`, fields)).id;
const update = (object, id, fields) => control('PATCH', `records/${object}/${id}`, fields);
const remove = (object, id) => control('DELETE', `records/${object}/${id}`);

/** A client that is signed in. It trusts the certificates that it brings and no others, so it is told not to look. */
async function connect(signIn = {}) {
  const client = new PubSubApiClient(
    {
      authType: 'username-password',
      loginUrl: org.base_url,
      username: org.username,
      password: org.password,
      pubSubEndpoint: new URL(org.pubsub_endpoint).host,
      rejectUnauthorizedSsl: false,
      ...signIn,
    },
    quiet,
  );
  await client.connect();
  return client;
}

/** What a subscription's callback was told, and a way to wait for more of it. */
class Heard {
  told = [];
  #waiting = [];

  callback = (info, type, data) => {
    this.told.push({ type, data, lastReplayId: info.lastReplayId });
    for (const look of this.#waiting) look();
  };

  /** Waits until so much of one type was told. */
  async until(type, count = 1) {
    const found = () => this.told.filter((one) => one.type === type);
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        reject(new Error(`${found().length} of ${count} ${type}, but ${this.told.map((one) => one.type)}`));
      }, 15_000);
      const look = () => {
        if (found().length < count) return;
        clearTimeout(late);
        resolve();
      };
      this.#waiting.push(look);
      look();
    });
    return found().map(({ data, lastReplayId }) => data ?? { lastReplayId });
  }

  events(count) {
    return this.until('event', count);
  }
}

/** Subscribes, and waits until the org knows of it. */
async function listening(topic, subscribe) {
  const listeners = async () => {
    const { subscribers } = await control('GET', 'events');
    return subscribers.filter((one) => one.topic === topic).length;
  };
  const before = await listeners();
  const heard = new Heard();
  subscribe(heard.callback);
  const late = Date.now() + 15_000;
  while ((await listeners()) <= before) assert.ok(Date.now() < late, 'the org never knew of the subscription');
  return heard;
}

const tests = {
  async 'decodes what is created, changed and deleted'() {
    const client = await connect();
    const heard = await listening(ALL, (callback) => client.subscribe(ALL, callback));
    const id = await create('Product2', { Name: 'Fibre 2G', StockKeepingUnit: 'PUBSUB-1', Bandwidth_Mbit__c: 2000.5 });
    await update('Product2', id, { Name: 'Fibre 2G flex', Description: 'Said anew', StockKeepingUnit: null });
    await remove('Product2', id);
    const [created, changed, deleted] = (await heard.events(3)).map(({ payload }) => payload);
    const header = ({ ChangeEventHeader }) => ChangeEventHeader;
    assert.deepEqual(
      [created, changed, deleted].map((one) => [header(one).changeType, header(one).recordIds]),
      ['CREATE', 'UPDATE', 'DELETE'].map((type) => [type, [id]]),
    );
    assert.deepEqual([created.Name, created.Bandwidth_Mbit__c, created.Family], ['Fibre 2G', 2000.5, null]);
    assert.deepEqual(header(changed).changedFields.toSorted(), [
      'Description',
      'LastModifiedDate',
      'Name',
      'StockKeepingUnit',
    ]);
    assert.deepEqual(header(changed).nulledFields, ['StockKeepingUnit']);
    assert.deepEqual([changed.Name, changed.Description, changed.Bandwidth_Mbit__c], ['Fibre 2G flex', 'Said anew', null]);
    assert.deepEqual([deleted.Name, header(deleted).changedFields], [null, []]);
    assert.ok(Math.abs(header(deleted).commitTimestamp - Date.now()) < 60_000);
    client.close();
  },

  async 'decodes components of an address'() {
    const topic = '/data/AccountChangeEvent';
    const client = await connect();
    const heard = await listening(topic, (callback) => client.subscribe(topic, callback));
    const id = await create('Account', { Name: 'Acme', BillingCity: 'Bern' });
    await update('Account', id, { BillingCity: 'Basel', BillingState: 'BS', Internet_Eligibility__c: 'Fibre' });
    const [created, changed] = (await heard.events(2)).map(({ payload }) => payload);
    assert.deepEqual([created.Name, created.BillingAddress.City], ['Acme', 'Bern']);
    assert.deepEqual(changed.ChangeEventHeader.changedFields, [
      'LastModifiedDate',
      'Internet_Eligibility__c',
      'BillingAddress.City',
      'BillingAddress.State',
    ]);
    assert.equal(changed.Internet_Eligibility__c, 'Fibre');
    client.close();
  },

  async 'replays from an id and from the oldest'() {
    const topic = '/data/PricebookEntryChangeEvent';
    const { records } = await control('GET', 'records/PricebookEntry');
    for (const price of [10.5, 11.25, 12]) await update('PricebookEntry', records[0].Id, { UnitPrice: price });
    const client = await connect();
    const all = new Heard();
    client.subscribeFromEarliestEvent(topic, all.callback);
    const prices = (events) => events.slice(-3).map(({ payload }) => payload.UnitPrice);
    const events = await all.events(3);
    assert.deepEqual(prices(events), [10.5, 11.25, 12]);
    client.close();

    const again = await connect();
    const rest = new Heard();
    again.subscribeFromReplayId(topic, rest.callback, 2, events.at(-3).replayId);
    assert.deepEqual(prices(await rest.events(2)), [11.25, 12]);
    await rest.until('lastEvent');
    again.requestAdditionalEvents(topic, 1);
    await update('PricebookEntry', records[0].Id, { UnitPrice: 13 });
    assert.equal((await rest.events(3))[2].payload.UnitPrice, 13);
    again.close();
  },

  async 'reads a new schema when a field is added'() {
    const topic = '/data/Product2ChangeEvent';
    const client = await connect();
    const heard = await listening(topic, (callback) => client.subscribe(topic, callback));
    const id = await create('Product2', { Name: 'By the old schema' });
    await control('POST', 'fields', { object: 'Product2', name: 'Colour__c', kind: 'string', behind: 'Name' });
    await update('Product2', id, { Colour__c: 'red', Family: 'SIM' });
    const [before, after] = await heard.events(2);
    assert.notEqual(before.schemaId, after.schemaId);
    assert.deepEqual([after.payload.Colour__c, after.payload.Family], ['red', 'SIM']);
    assert.deepEqual(after.payload.ChangeEventHeader.changedFields, ['Colour__c', 'Family', 'LastModifiedDate']);
    client.close();
  },

  async 'hears that nothing happens'() {
    const client = await connect({
      authType: 'oauth-client-credentials',
      clientId: org.client_id,
      clientSecret: org.client_secret,
    });
    const topic = '/data/ShadowSync__chn';
    const heard = await listening(topic, (callback) => client.subscribe(topic, callback));
    const alive = await heard.until('grpcKeepAlive', 2);
    assert.ok(alive[1].lastReplayId > alive[0].lastReplayId);
    client.close();
  },

  async 'sees refusals and the end of a stream'() {
    const client = await connect();
    const refused = async (subscribe) => {
      const heard = new Heard();
      subscribe(heard.callback);
      const [error] = await heard.until('error');
      return [error.code, error.metadata.get('error-code')[0].split('grpc.')[1]];
    };
    assert.deepEqual(await refused((callback) => client.subscribe('/data/NopeChangeEvent', callback)), [
      5,
      'topic.not.found',
    ]);
    assert.deepEqual(await refused((callback) => client.subscribeFromReplayId(ALL, callback, 1, 4711)), [
      3,
      'subscription.fetch.replayid.corrupted',
    ]);
    client.close();
    const other = await connect();
    const heard = await listening(ALL, (callback) => other.subscribe(ALL, callback));
    await control('POST', 'events/disturb', { kind: 'end_streams' });
    await heard.until('end');
    assert.equal((await heard.until('grpcStatus'))[0].code, 0);
    other.close();
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
const passed = Object.keys(tests).length - failed;
console.log(`salesforce-pubsub-api-client ${clientVersion}: ${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
