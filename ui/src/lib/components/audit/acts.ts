import Activity from '@lucide/svelte/icons/activity';
import CircleDashed from '@lucide/svelte/icons/circle-dashed';
import DatabaseBackup from '@lucide/svelte/icons/database-backup';
import Equal from '@lucide/svelte/icons/equal';
import Eraser from '@lucide/svelte/icons/eraser';
import Flag from '@lucide/svelte/icons/flag';
import History from '@lucide/svelte/icons/history';
import Layers from '@lucide/svelte/icons/layers';
import ListChecks from '@lucide/svelte/icons/list-checks';
import OctagonX from '@lucide/svelte/icons/octagon-x';
import Pause from '@lucide/svelte/icons/pause';
import StepBack from '@lucide/svelte/icons/step-back';
import User from '@lucide/svelte/icons/user';

const icons = {
  backfill: DatabaseBackup,
  job: DatabaseBackup,
  'catch-up': History,
  formulas: History,
  hole: CircleDashed,
  holes: CircleDashed,
  'dead-letters': OctagonX,
  replay: StepBack,
  flag: Flag,
  flags: Flag,
  objects: Pause,
  verify: Equal,
  counts: Equal,
  cache: Eraser,
  flush: Eraser,
  invalidations: Eraser,
  rules: Eraser,
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
