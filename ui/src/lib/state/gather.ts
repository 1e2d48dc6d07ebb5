/**
 * Hands over what comes: the first at once, and all that comes within `ms` of it together. What is given is a set, so
 * that the same thing said a hundred times is heard once.
 */
export function gather<T>(ms: number, hear: (items: Set<T>) => void): (items: T[]) => void {
  let waiting = new Set<T>();
  let isOpen = true;

  function handOver() {
    const items = waiting;
    waiting = new Set();
    isOpen = false;
    setTimeout(() => {
      isOpen = true;
      if (waiting.size > 0) handOver();
    }, ms);
    hear(items);
  }

  return (items) => {
    items.forEach((item) => waiting.add(item));
    if (isOpen && waiting.size > 0) handOver();
  };
}
