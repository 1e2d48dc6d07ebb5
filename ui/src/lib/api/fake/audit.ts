/** Acts on record. */
import type { AuditView } from '../shapes';
import { at } from './clock';

function act(
  secondsAgo: number,
  name: string,
  sentence: string,
  result = 'done',
  tookMs: number | null = null,
): AuditView {
  return {
    at: at(secondsAgo),
    who: 'm.lindqvist@halden.example',
    host: 'console',
    act: name,
    sentence,
    result,
    tookMs,
  };
}

export const audit: AuditView[] = [
  act(1_620, 'verify.counts', 'Counted Product2, PricebookEntry and Account: all agree', 'done', 720),
  act(1_700, 'backfill.start', 'Backfill of PricebookEntry: 1,204,118 records', 'done', 36_000),
  act(1_740, 'backfill.start', 'Backfill of Account: 96,540 records', 'done', 41_000),
  act(1_790, 'backfill.start', 'Backfill of Product2: 8,412 records, 3 rejected', 'done', 6_000),
  act(1_900, 'sign-in', 'Signed in to Halden Telecom as m.lindqvist@halden.example', 'done', 9_400),
  act(2_000, 'sign-in', 'Sign-in to Halden Telecom: redirect_uri_mismatch (SS-1107)', 'failed', 3_100),
  act(2_100, 'environment.add', 'Added environment halden-staging'),
  act(
    80_000,
    'backfill.cancel',
    'Cancelled the backfill of PricebookEntry after page 7',
    'cancelled',
    12_000,
  ),
];
