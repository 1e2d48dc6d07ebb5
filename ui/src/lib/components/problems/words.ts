import LogIn from '@lucide/svelte/icons/log-in';
import Play from '@lucide/svelte/icons/play';
import RotateCw from '@lucide/svelte/icons/rotate-cw';
import Settings2 from '@lucide/svelte/icons/settings-2';
import type { MendAct, Mender, Problem } from '$lib/api/shapes';

/** Who mends a problem, as the line before its steps. */
export const menders: Record<Mender, string> = {
  you: 'You mend it:',
  salesforceAdmin: 'A Salesforce admin mends it:',
  databaseAdmin: 'Who runs the database mends it:',
  platformEngineer: 'Who runs the network or this machine mends it:',
  itself: 'It mends itself:',
};

/** The button that mends, by the act that the catalogue names. */
export const mendActs = {
  signIn: { text: 'Sign in again', icon: LogIn },
  checkAgain: { text: 'Check again', icon: RotateCw },
  resumeJob: { text: 'Resume', icon: Play },
  reconnect: { text: 'Connect again', icon: RotateCw },
  openSettings: { text: 'Open Settings', icon: Settings2 },
  none: undefined,
} as const satisfies Record<MendAct, unknown>;

/** A problem as text, complete, for the clipboard. */
export function problemAsText(problem: Problem, about: string): string {
  const lines = [`${problem.code}: ${problem.title}`, problem.cause, ''];
  lines.push(menders[problem.mender], ...problem.steps.map((step, index) => `  ${index + 1}. ${step}`));
  if (problem.paste) lines.push(`  ${problem.paste}`);
  if (problem.details) lines.push('', problem.details);
  return [...lines, about, new Date().toISOString()].join('\n');
}
