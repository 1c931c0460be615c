/** A typed event channel: listeners run in the order of subscription, synchronously. */
export class EventChannel<E> {
  readonly #listeners: ((event: E) => void)[] = [];
  readonly #onError: (error: unknown) => void;

  /** @param onError told what a listener threw; observers never break what they observe. */
  constructor(onError: (error: unknown) => void = () => {}) {
    this.#onError = onError;
  }

  subscribe(listener: (event: E) => void): () => void {
    this.#listeners.push(listener);
    return () => {
      const index = this.#listeners.indexOf(listener);
      if (index >= 0) this.#listeners.splice(index, 1);
    };
  }

  emit(event: E): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#onError(error);
      }
    }
  }
}
