import { getContext, setContext } from 'svelte';
import type { Acts } from './acts.svelte';
import type { Console } from './console.svelte';
import { pages, type Page } from './router.svelte';
import { nav } from '$lib/components/frame/nav';

const CONTEXT = Symbol('keys');

/** After G, the next letter chooses a page; for this long. */
const SEQUENCE_MS = 1500;

export interface Shortcut {
  keys: string[];
  does: string;
}

/** All keys, for the sheet that `?` opens. */
export const shortcuts: Shortcut[] = [
  { keys: ['Ctrl', 'K'], does: 'Palette' },
  { keys: ['?'], does: 'All keys' },
  ...pages.map((page) => ({ keys: ['G', nav[page].key], does: nav[page].title })),
  { keys: ['Ctrl', '1 … 9'], does: 'Environment' },
  { keys: ['Ctrl', ','], does: 'Settings' },
  { keys: ['V'], does: 'Count now' },
  { keys: ['B'], does: 'Plan a backfill' },
  { keys: ['P'], does: 'Pause or resume what the page shows' },
  { keys: ['J', 'K'], does: 'Next, previous row' },
  { keys: ['R'], does: 'Retry dead letters' },
  { keys: ['[', ']'], does: 'Shorter, longer time range' },
  { keys: ['←', '→'], does: 'Move the crosshair' },
  { keys: ['0'], does: 'Whole time range' },
  { keys: ['/'], does: 'Find or filter' },
  { keys: ['F6'], does: 'Next region' },
  { keys: ['Esc'], does: 'Close, back, cancel' },
];

const regions = ['sidebar', 'main', 'content', 'status'];

/** What the keyboard does, wherever the focus is. */
export class Keys {
  palette = $state(false);
  sheet = $state(false);
  #sequenceUntil = 0;
  /** What the page on screen does with keys of its own. */
  #page: ((key: string) => boolean) | undefined;

  constructor(
    private readonly app: Console,
    private readonly acts: Acts,
  ) {}

  /** Handles one key press of the window. */
  press(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.isComposing) return;
    const withModifier = event.ctrlKey || event.metaKey;
    if (withModifier && !event.altKey ? this.#modified(event) : this.#plain(event)) event.preventDefault();
  }

  /** Gives keys to the page on screen; answers with the function that takes them back. */
  onPage(handler: (key: string) => boolean): () => void {
    this.#page = handler;
    return () => {
      if (this.#page === handler) this.#page = undefined;
    };
  }

  #modified(event: KeyboardEvent): boolean {
    const key = event.key.toLowerCase();
    if (key === 'k') {
      this.palette = !this.palette;
      this.sheet = false;
      return true;
    }
    if (this.#covered()) return false;
    if (key === ',') {
      this.app.router.go('settings');
      return true;
    }
    const environment = /^[1-9]$/.test(key) ? this.app.environments.data?.[Number(key) - 1] : undefined;
    if (!environment) return false;
    void this.app.open(environment.name);
    return true;
  }

  #plain(event: KeyboardEvent): boolean {
    if (event.altKey || this.#covered()) return false;
    if (event.key === 'F6') return this.#nextRegion(event.shiftKey);
    if (event.ctrlKey || event.metaKey || isTyping(event.target)) return false;
    if (event.key === '?') {
      this.sheet = true;
      return true;
    }
    const isLetter = event.key.length === 1;
    if (isLetter && !this.app.appearance.singleKeys) return false;
    if (!isLetter) return !isControl(event.target) && this.#onPage(event.key);
    return this.#letter(event.key.toLowerCase());
  }

  #letter(key: string): boolean {
    if (performance.now() < this.#sequenceUntil) {
      this.#sequenceUntil = 0;
      const page = pages.find((one) => nav[one].key.toLowerCase() === key);
      if (page) this.app.router.go(page);
      return page !== undefined;
    }
    if (key === 'g') {
      this.#sequenceUntil = performance.now() + SEQUENCE_MS;
      return true;
    }
    if (this.#onPage(key)) return true;
    switch (key) {
      case 'v':
        return this.#run(this.acts.count);
      case 'b':
        return this.#run(this.acts.backfill);
      case 'p':
        return this.#pauseOrResume();
      case '/':
        return focusOn('[data-region="content"] input');
      default:
        return false;
    }
  }

  #onPage(key: string): boolean {
    return this.#page?.(key) ?? false;
  }

  #run(act: { run: () => void; hindered: () => string | false }): boolean {
    if (!act.hindered()) act.run();
    return true;
  }

  /** Pauses what runs; resumes what a person paused. */
  #pauseOrResume(): boolean {
    const running = this.app.running.find((job) => job.state === 'running');
    const paused = this.app.jobs.data?.find((job) => job.state === 'paused');
    if (running) void this.app.act(`Pause ${running.object}`, () => this.app.api.pauseJob(running.id));
    else if (paused) void this.app.act(`Resume ${paused.object}`, () => this.app.api.resumeJob(paused.id));
    return true;
  }

  /** A dialog or the wizard is over the pages. */
  #covered(): boolean {
    return this.app.wizard !== 'closed' || document.querySelector('dialog[open]') !== null;
  }

  #nextRegion(backwards: boolean): boolean {
    const found = regions.map((region) => document.querySelector(`[data-region="${region}"]`));
    const here = found.findLastIndex((region) => region?.contains(document.activeElement));
    const step = backwards ? -1 : 1;
    const next = found[(here + step + found.length) % found.length];
    const target = next?.matches('[tabindex]')
      ? next
      : next?.querySelector('a[href], button, input, [tabindex]');
    if (target instanceof HTMLElement) target.focus();
    return true;
  }
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    target.matches('input:not([type="radio"], [type="checkbox"]), textarea, select')
  );
}

/** Arrows move choices and lists by themselves there. */
function isControl(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches('input, textarea, select');
}

function focusOn(selector: string): boolean {
  const target = document.querySelector(selector);
  if (target instanceof HTMLElement) target.focus();
  return target !== null;
}

/** The address letter of a page, for the palette. */
export function pageKeys(page: Page): string[] {
  return ['G', nav[page].key];
}

export function provideKeys(keys: Keys): Keys {
  return setContext(CONTEXT, keys);
}

/** Gives keys to a page while it is on screen: the handler answers whether it knew the key. */
export function usePageKeys(handler: (key: string) => boolean): void {
  const keys = getContext<Keys>(CONTEXT);
  $effect(() => keys.onPage(handler));
}
