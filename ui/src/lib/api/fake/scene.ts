/** A scene: the state in which the scripted engine stands still, or from which it moves on. */
import type { EnvironmentView, JobView, Problem, SignInState, TripView } from '../shapes';
import { addressOf, cacheOf, type FakeCache } from './cache';
import { at, started } from './clock';
import { doneJobs, failedJob, loadedJobs, runningJob } from './jobs';
import { environment } from './org';
import { databaseDown, redirectMismatch } from './problems';

/** How the stream of a scene goes. */
export type StreamCourse = 'live' | 'quiet' | 'behind' | 'down' | 'paused' | 'none';

export interface Scene {
  name: string;
  environments: EnvironmentView[];
  signedIn: boolean;
  signIn: SignInState | undefined;
  jobs: JobView[];
  countedAt: number;
  /** Progress stands still, for pictures that can be compared. */
  frozen: boolean;
  statusFails: Problem | undefined;
  asked: number;
  stream: StreamCourse;
  /** Names of flags that are off. */
  flagsOff: Set<string>;
  /** Dead letters that somebody retried or discarded. */
  lettersGone: Set<string>;
  cache: FakeCache;
  trip: TripView | null;
}

const tripped: TripView = {
  reason: "14 of 1000 answers differed from Salesforce's within 10 minutes; 1.0 % are accepted",
  by: 'comparison',
  at: at(400),
};

/** A scene by its name. */
export function scene(name: string): Scene {
  const cache = cacheOf(name);
  const address = { cache: addressOf(cache) };
  const staging = environment('halden-staging', 'staging', { isOpen: true, ...address });
  const production = environment('halden-production', 'production', {
    ...address,
    loginUrl: 'https://halden.my.salesforce.com',
  });
  const demo = environment('demo', 'demo', { isOpen: true });
  const base: Scene = {
    name,
    environments: [staging, production],
    signedIn: true,
    signIn: undefined,
    jobs: loadedJobs(),
    countedAt: started - 27 * 60_000,
    frozen: true,
    statusFails: undefined,
    asked: 0,
    stream: 'live',
    flagsOff: new Set(name === 'comparing' ? ['shadow-reads'] : ['shadow-reads', 'compare-reads']),
    lettersGone: new Set(),
    cache,
    trip: name === 'tripped' ? tripped : null,
  };
  switch (name) {
    case 'first-run':
      return { ...base, environments: [], signedIn: false, jobs: [], frozen: false, stream: 'none' };
    case 'running':
      return { ...base, jobs: [runningJob(), ...doneJobs()] };
    case 'live':
      return { ...base, jobs: [runningJob(), ...doneJobs()], frozen: false };
    case 'paused':
      return {
        ...base,
        jobs: [{ ...runningJob(), state: 'paused', rate: null, leftMs: null }, ...doneJobs()],
      };
    case 'failing':
      return { ...base, jobs: [failedJob(), ...doneJobs()] };
    case 'stream-failing':
      return {
        ...base,
        stream: 'down',
        environments: [
          { ...staging, isOpen: false },
          { ...production, isOpen: true },
        ],
      };
    case 'quiet':
    case 'behind':
      return { ...base, stream: name };
    case 'stream-paused':
      return { ...base, stream: 'paused' };
    case 'no-stream':
      return { ...base, stream: 'none' };
    case 'tail':
      return { ...base, frozen: false };
    case 'signed-out':
      return { ...base, signedIn: false };
    case 'sign-in-failed':
      return { ...base, signedIn: false, signIn: { state: 'failed', problem: redirectMismatch } };
    case 'stale':
      return { ...base, statusFails: databaseDown };
    case 'production':
    case 'cache-down':
      return {
        ...base,
        environments: [
          { ...staging, isOpen: false },
          { ...production, isOpen: true },
        ],
      };
    case 'empty':
      return { ...base, environments: [demo], jobs: [], frozen: false, stream: 'none' };
    case 'demo':
      return { ...base, environments: [demo, { ...staging, isOpen: false }] };
    default:
      return base;
  }
}
