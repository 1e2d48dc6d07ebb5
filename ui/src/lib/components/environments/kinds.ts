import FlaskConical from '@lucide/svelte/icons/flask-conical';
import Hammer from '@lucide/svelte/icons/hammer';
import Layers from '@lucide/svelte/icons/layers';
import ShieldAlert from '@lucide/svelte/icons/shield-alert';
import type { EnvironmentKind, EnvironmentView, OrgView } from '$lib/api/shapes';

/** Icon, name and purpose of each kind of environment; the colour is the token `--env-<kind>`. */
export const kinds = {
  demo: { icon: FlaskConical, name: 'Demo', purpose: 'A simulated org on a database of its own' },
  development: { icon: Hammer, name: 'Development', purpose: 'An org where developers try things' },
  staging: { icon: Layers, name: 'Staging', purpose: 'A sandbox that rehearses production' },
  production: { icon: ShieldAlert, name: 'Production', purpose: 'The org that customers feel' },
} as const satisfies Record<EnvironmentKind, unknown>;

/** The words that mark everything made on a simulated org. */
export const SIMULATED = 'simulated org';

/** The host of a login address without what every address has: `halden--uat.sandbox`. */
export function shortHost(loginUrl: string): string {
  const host = loginUrl.replace(/^https?:\/\//, '').split('/')[0] ?? loginUrl;
  return host.replace(/\.my\.salesforce\.com$/, '').replace(/\.salesforce\.com$/, '');
}

/** The second line under an environment's name: `Staging · halden--uat.sandbox`, `Demo · simulated org`. */
export function describeEnvironment(environment: EnvironmentView): string {
  const where = environment.isSimulated ? SIMULATED : shortHost(environment.loginUrl);
  return `${kinds[environment.kind].name} · ${where}`;
}

/** What the org says of itself: `Halden Telecom · Enterprise Edition · sandbox`. */
export function describeOrg(org: OrgView): string {
  const says = [org.orgName, org.edition, org.isSandbox ? 'sandbox' : undefined];
  if (org.isSimulated && org.orgName.toLowerCase() !== SIMULATED) says.push(SIMULATED);
  return says.filter(Boolean).join(' · ');
}
