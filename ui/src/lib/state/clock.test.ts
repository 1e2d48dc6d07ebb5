import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Clock } from './clock.svelte';

/** The window as far as the clock sees it. */
function fakeWindow() {
  const listeners = new Map<string, () => void>();
  const hear = (kind: string, run: () => void) => listeners.set(kind, run);
  const page = { hidden: false, addEventListener: hear };
  vi.stubGlobal('addEventListener', hear);
  vi.stubGlobal('document', page);
  return {
    page,
    use: () => listeners.get('pointermove')?.(),
    show: () => listeners.get('visibilitychange')?.(),
  };
}

beforeEach(() => void vi.useFakeTimers({ now: 1_000_000 }));
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('the clock', () => {
  it('tells each second while the window is used, and rarely when nobody is there', () => {
    fakeWindow();
    const clock = new Clock();
    vi.advanceTimersByTime(5_000);
    expect(clock.now).toBe(1_005_000);
    vi.advanceTimersByTime(30_000);
    expect(clock.now).toBe(1_030_000);
    vi.advanceTimersByTime(4_999);
    expect(clock.now).toBe(1_030_000);
    vi.advanceTimersByTime(1);
    expect(clock.now).toBe(1_040_000);
  });

  it('is right at once when somebody comes back, or when there is news', () => {
    const { use } = fakeWindow();
    const clock = new Clock();
    vi.advanceTimersByTime(64_500);
    use();
    expect(clock.now).toBe(1_064_500);
    vi.advanceTimersByTime(1_000);
    expect(clock.now).toBe(1_065_500);
    vi.advanceTimersByTime(300);
    clock.tell();
    expect(clock.now).toBe(1_065_800);
  });

  it('waits anew after news while nobody is there: one drawing does for both', () => {
    fakeWindow();
    const clock = new Clock();
    vi.advanceTimersByTime(48_000);
    clock.tell();
    vi.advanceTimersByTime(9_999);
    expect(clock.now).toBe(1_048_000);
    vi.advanceTimersByTime(1);
    expect(clock.now).toBe(1_058_000);
  });

  it('stands still while the window is hidden', () => {
    const { page, show } = fakeWindow();
    const clock = new Clock();
    page.hidden = true;
    vi.advanceTimersByTime(60_000);
    expect(clock.now).toBe(1_000_000);
    page.hidden = false;
    show();
    expect(clock.now).toBe(1_060_000);
  });
});
