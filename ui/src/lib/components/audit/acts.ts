import Activity from '@lucide/svelte/icons/activity';
import DatabaseBackup from '@lucide/svelte/icons/database-backup';
import Equal from '@lucide/svelte/icons/equal';
import Layers from '@lucide/svelte/icons/layers';
import ListChecks from '@lucide/svelte/icons/list-checks';
import User from '@lucide/svelte/icons/user';

const icons = {
  backfill: DatabaseBackup,
  job: DatabaseBackup,
  verify: Equal,
  counts: Equal,
  environment: Layers,
  preflight: ListChecks,
  'sign-in': User,
  'sign-out': User,
} as const;

/** The icon of an act of the audit log, by the noun before its dot. */
export function iconOf(act: string) {
  const noun = act.split('.')[0] ?? '';
  return noun in icons ? icons[noun as keyof typeof icons] : Activity;
}
