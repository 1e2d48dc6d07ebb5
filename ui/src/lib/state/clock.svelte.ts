/** As long as somebody used the window lately, the time is told each second. */
const ATTENDED_MS = 30_000;
const SECOND = 1000;
/** Otherwise rarely: drawing the window anew costs a processor more than anything else in an idle console. */
const UNATTENDED_MS = 10 * SECOND;

/**
 * The time for ages on screen; one clock for the window. It stands still while the window is hidden, and is slow while
 * nobody is there: what the engine says in between sets it right.
 */
export class Clock {
  now = $state(Date.now());
  #usedAt = performance.now();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    for (const kind of ['pointermove', 'keydown', 'wheel', 'focus']) {
      addEventListener(kind, () => this.#used(), { capture: true, passive: true });
    }
    document.addEventListener('visibilitychange', () => this.#used());
    this.#later();
  }

  /** There is news: ages are told as of now. An unattended clock then waits its whole time again. */
  tell(): void {
    this.now = Date.now();
    if (!this.#isAttended) this.#later();
  }

  #used(): void {
    const wasAttended = this.#isAttended;
    this.#usedAt = performance.now();
    if (wasAttended) return;
    this.tell();
    this.#later();
  }

  get #isAttended(): boolean {
    return performance.now() - this.#usedAt < ATTENDED_MS;
  }

  #later(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        if (!document.hidden) this.now = Date.now();
        this.#later();
      },
      this.#isAttended ? SECOND : UNATTENDED_MS,
    );
  }
}
