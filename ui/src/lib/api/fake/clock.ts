/** The clock of the scripted engine: every time is relative to the start of the preview. */

export const started = Date.now();

/** A time relative to the start of the preview, as the engine writes times. */
export function at(secondsAgo: number): string {
  return new Date(started - secondsAgo * 1000).toISOString();
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
