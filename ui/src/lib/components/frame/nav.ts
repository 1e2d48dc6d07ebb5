import ChartNoAxesColumn from '@lucide/svelte/icons/chart-no-axes-column';
import DatabaseBackup from '@lucide/svelte/icons/database-backup';
import Equal from '@lucide/svelte/icons/equal';
import Eraser from '@lucide/svelte/icons/eraser';
import ListTree from '@lucide/svelte/icons/list-tree';
import ScanLine from '@lucide/svelte/icons/scan-line';
import ScrollText from '@lucide/svelte/icons/scroll-text';
import Settings2 from '@lucide/svelte/icons/settings-2';
import type { Page } from '$lib/state/router.svelte';

/** The pages with their icons and the letter that follows G; grouped as watch, prove, act, account. */
export const nav = {
  overview: { title: 'Overview', icon: ScanLine, key: 'O' },
  lag: { title: 'Lag', icon: ChartNoAxesColumn, key: 'L' },
  events: { title: 'Events', icon: ListTree, key: 'E' },
  verify: { title: 'Verify', icon: Equal, key: 'V' },
  backfill: { title: 'Backfill', icon: DatabaseBackup, key: 'B' },
  cache: { title: 'Cache', icon: Eraser, key: 'C' },
  audit: { title: 'Audit', icon: ScrollText, key: 'A' },
  settings: { title: 'Settings', icon: Settings2, key: 'S' },
} as const satisfies Record<Page, unknown>;

export const groups: Page[][] = [
  ['overview', 'lag', 'events'],
  ['verify'],
  ['backfill', 'cache'],
  ['audit', 'settings'],
];
