import { describe, expect, it } from 'vitest';
import {
  databaseError,
  emptyDraft,
  missing,
  nameError,
  proposeName,
  redirectError,
  redisError,
  toEnvironment,
} from './draft';

describe('a name', () => {
  it('is proposed from the address, and never one that is taken', () => {
    expect(proposeName('https://halden--uat.sandbox.my.salesforce.com', [])).toBe('halden-uat');
    expect(proposeName('https://halden--uat.sandbox.my.salesforce.com', ['halden-uat', 'halden-uat-2'])).toBe(
      'halden-uat-3',
    );
    expect(proposeName('http://127.0.0.1:8790', [])).toBe('demo');
  });

  it('that cannot stand in the configuration is refused with what would be valid', () => {
    expect(nameError('halden staging', [])).toContain('letters, digits');
    expect(nameError('halden', ['halden'])).toContain('already');
    expect(nameError('halden_2', ['halden'])).toBeUndefined();
  });
});

describe('a database address', () => {
  it('carries no password onto the disk', () => {
    expect(databaseError('postgres://shadow:secret@db/shop')).toContain('Leave the password out');
    expect(databaseError('postgres://shadow@db:5432/shop')).toBeUndefined();
  });

  it('has a port that is a number', () => {
    expect(databaseError('postgres://shop-db-1:54x2')).toBe('The port must be a number from 1 to 65535.');
    expect(databaseError('postgres://shop-db-1:70000/shop')).toBe(
      'The port must be a number from 1 to 65535.',
    );
  });
});

it('a cache address has a scheme that we speak', () => {
  expect(redisError('http://cache')).toContain('redis://');
  expect(redisError('rediss://cache:6379')).toBeUndefined();
});

it('a redirect address is one that Salesforce lets an app register for this machine', () => {
  expect(redirectError('http://127.0.0.1:8717/oauth/callback')).toContain('not 127.0.0.1');
  expect(redirectError('http://localhost/oauth/callback')).toContain('with a port');
  expect(redirectError('http://localhost:8717/oauth/callback')).toBeUndefined();
});

describe('a step', () => {
  it('cannot be left before what it asks for is there', () => {
    const draft = emptyDraft();
    expect(missing('org', draft, [])).toBeTruthy();
    expect(missing('database', draft, [])).toBe(false);
    expect(missing('database', { ...draft, ownDatabase: true }, [])).toBeTruthy();
    expect(missing('app', draft, [])).toBe('Paste the consumer key');
    expect(missing('app', { ...draft, kind: 'demo' }, [])).toBe(false);
  });
});

it('a draft becomes an environment without empty texts', () => {
  const draft = { ...emptyDraft(), name: 'halden', redisUrl: 'redis://typed-then-switched-off' };
  expect(toEnvironment(draft, 'https://halden.my.salesforce.com')).toMatchObject({
    clientId: null,
    databaseUrl: 'embedded',
    redisUrl: null,
    currency: null,
  });
});
