import type { EnvironmentKind, NewEnvironment } from '$lib/api/shapes';

/** The steps of connecting an org, in their order. */
export const steps = ['org', 'database', 'app', 'sign-in', 'checks', 'backfill'] as const;
export type Step = (typeof steps)[number];

/** What a person fills in before there is an environment. */
export interface Draft {
  address: string;
  name: string;
  kind: EnvironmentKind;
  ownDatabase: boolean;
  databaseUrl: string;
  withCache: boolean;
  redisUrl: string;
  clientId: string;
  redirectUrl: string;
  currency: string;
}

export const REDIRECT = 'http://localhost:8717/oauth/callback';

export function emptyDraft(): Draft {
  return {
    address: '',
    name: '',
    kind: 'development',
    ownDatabase: false,
    databaseUrl: '',
    withCache: false,
    redisUrl: '',
    clientId: '',
    redirectUrl: REDIRECT,
    currency: '',
  };
}

/** A name for an environment, from the login address that was recognised: `halden-uat`. */
export function proposeName(loginUrl: string, taken: string[]): string {
  const host = loginUrl.replace(/^https?:\/\//, '').split(/[/:]/)[0] ?? '';
  const isLocal = host === 'localhost' || /^[\d.]+$/.test(host);
  const first = isLocal ? 'demo' : (host.split('.')[0] ?? '');
  const base = first.replaceAll('--', '-').replace(/[^A-Za-z0-9_-]/g, '') || 'org';
  if (!taken.includes(base)) return base;
  let number = 2;
  while (taken.includes(`${base}-${number}`)) number += 1;
  return `${base}-${number}`;
}

/** What would be valid, where the name is not. */
export function nameError(name: string, taken: string[]): string | undefined {
  if (name === '') return undefined;
  if (!/^[A-Za-z0-9_-]+$/.test(name)) return 'A name has letters, digits, - and _ only.';
  if (taken.includes(name)) return `There is an environment called ${name} already.`;
  return undefined;
}

/** What would be valid, where the database address is not. */
export function databaseError(address: string): string | undefined {
  if (address === '') return undefined;
  if (!/^postgres(ql)?:\/\//.test(address))
    return 'An address looks like postgres://user@host:5432/database.';
  if (/^postgres(ql)?:\/\/[^/@:]+:[^/@]+@/.test(address)) {
    return 'Leave the password out: it would stand in a file. PGPASSFILE or SHADOW_SYNC_DATABASE_PASSWORD bring it.';
  }
  return portError(address);
}

/** What would be valid, where the cache address is not. */
export function redisError(address: string): string | undefined {
  if (address === '') return undefined;
  if (!/^(rediss?|redis\+sentinel|redis-cluster):\/\//.test(address)) {
    return 'An address looks like redis://host:6379, rediss://…, redis+sentinel://… or redis-cluster://….';
  }
  return portError(address);
}

/** What would be valid, where the redirect address is not. */
export function redirectError(address: string): string | undefined {
  if (/^http:\/\/localhost:\d+\/[^\s?#]*$/.test(address)) return portError(address);
  return 'It must be http://localhost:PORT/path, exactly as registered with the app: not 127.0.0.1, and with a port.';
}

function portError(address: string): string | undefined {
  const port = /:\/\/(?:[^/@]*@)?[^/:]+:([^/]*)/.exec(address)?.[1];
  if (port === undefined) return undefined;
  const isPort = /^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 65535;
  return isPort ? undefined : 'The port must be a number from 1 to 65535.';
}

/** Why the step cannot be left yet; false when it can. */
export function missing(step: Step, draft: Draft, taken: string[]): string | false {
  switch (step) {
    case 'org':
      if (draft.name === '') return 'Give the environment a name';
      return nameError(draft.name, taken) ?? false;
    case 'database':
      if (draft.ownDatabase && draft.databaseUrl === '') return 'Give the database’s address';
      if (draft.withCache && draft.redisUrl === '') return 'Give the cache’s address';
      return databaseError(draft.databaseUrl) ?? redisError(draft.redisUrl) ?? false;
    case 'app':
      if (draft.clientId === '' && draft.kind !== 'demo') return 'Paste the consumer key';
      return redirectError(draft.redirectUrl) ?? false;
    default:
      return false;
  }
}

/** The draft as the engine takes it; the login address is the recognised one. */
export function toEnvironment(draft: Draft, loginUrl: string): NewEnvironment {
  return {
    name: draft.name,
    kind: draft.kind,
    loginUrl,
    clientId: draft.clientId || null,
    signIn: 'browser',
    redirectUrl: draft.redirectUrl || null,
    databaseUrl: draft.ownDatabase ? draft.databaseUrl : 'embedded',
    redisUrl: draft.withCache ? draft.redisUrl : null,
    currency: draft.currency || null,
  };
}
