import type { Toast } from '$lib/components/ui/Toasts.svelte';

const SHOWN_MS = 6000;

/** Results of acts that need no answer. */
export class Toasts {
  list = $state.raw<Toast[]>([]);
  #held = false;
  #next = 1;

  show(text: string, act?: Toast['act']): void {
    const id = this.#next++;
    this.list = [...this.list, { id, text, act }];
    this.#closeLater(id);
  }

  close(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  hold(held: boolean): void {
    this.#held = held;
  }

  #closeLater(id: number): void {
    setTimeout(() => (this.#held ? this.#closeLater(id) : this.close(id)), SHOWN_MS);
  }
}
