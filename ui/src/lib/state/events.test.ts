import { describe, expect, it } from 'vitest';
import type { EventFilter, EventRow } from '$lib/api/shapes';
import { EventList, PAGE, everything } from './events.svelte';

const row = (position: number, outcome: string | null = 'applied') =>
  ({ position, recordId: `01t${position}`, outcome }) as EventRow;

/** A change log that grows by hand. */
function log(newest: number) {
  const asked: EventFilter[] = [];
  const state = { newest, fails: false, outcome: 'applied' as string | null };
  const list = new EventList(async (filter) => {
    asked.push(filter);
    if (state.fails) throw new Error('gone');
    const top = filter.after === null ? state.newest : filter.after - 1;
    const events = Array.from({ length: Math.min(filter.limit, top) }, (_, n) => row(top - n, state.outcome));
    return { events, next: top > filter.limit ? top - filter.limit + 1 : null };
  });
  return { list, state, asked };
}

describe('the change log on screen', () => {
  it('follows the newest events', async () => {
    const { list, state } = log(5);
    await list.refresh();
    state.newest = 7;
    await list.refresh();
    expect(list.rows[0]?.position).toBe(7);
    expect(list.waiting).toBe(0);
  });

  it('stands still while held, counts what came, and goes on when let go', async () => {
    const { list, state } = log(300);
    await list.refresh();
    list.hold(true);
    state.newest = 338;
    await list.refresh();
    expect(list.rows[0]?.position).toBe(300);
    expect([list.waiting, list.waitingMore]).toEqual([38, false]);
    state.newest = 900;
    await list.refresh();
    expect([list.waiting, list.waitingMore]).toEqual([PAGE, true]);
    list.hold(false);
    await list.refresh();
    expect(list.rows[0]?.position).toBe(900);
    expect(list.waiting).toBe(0);
  });

  it('shows what became of an event that is held on screen', async () => {
    const { list, state } = log(3);
    state.outcome = null;
    await list.refresh();
    list.hold(true);
    state.outcome = 'applied';
    state.newest = 4;
    await list.refresh();
    expect(list.rows.map((one) => [one.position, one.outcome])).toEqual([
      [3, 'applied'],
      [2, 'applied'],
      [1, 'applied'],
    ]);
  });

  it('reads older pages below, to the end', async () => {
    const { list } = log(450);
    await list.refresh();
    expect(list.hasMore).toBe(true);
    await list.more();
    await list.more();
    expect(list.rows).toHaveLength(450);
    expect(list.rows.at(-1)?.position).toBe(1);
    expect(list.hasMore).toBe(false);
  });

  it('drops an answer to an older filter', async () => {
    const { list, asked } = log(9);
    const first = list.refresh();
    list.filter({ ...everything, object: 'Account' });
    await first;
    await list.refresh();
    expect(asked.at(-1)?.object).toBe('Account');
    expect(list.rows).toHaveLength(9);
  });

  it('keeps its rows when asking fails, and says so', async () => {
    const { list, state } = log(9);
    await list.refresh();
    state.fails = true;
    await list.refresh();
    expect(list.look).toBe('stale');
    expect(list.rows).toHaveLength(9);
    state.fails = false;
    await list.refresh();
    expect(list.look).toBe('ready');
  });
});
