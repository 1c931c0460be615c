/** `page_size` and `offset` of lists. */

const DEFAULT_PAGE_SIZE = 50;
/** More is answered with this many: `metadata.page_size` says so. */
const MAX_PAGE_SIZE = 1000;

export interface PageQuery {
  /** Digits, checked by the schema. */
  readonly page_size?: string;
  readonly offset?: string;
}

export interface PageMetadata {
  readonly page_size: number;
  readonly first_page_uri: string;
  readonly prev_page_uri: string | null;
  readonly next_page_uri: string | null;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly metadata: PageMetadata;
  readonly total: number;
  /** Counted from 1. */
  readonly number: number;
}

export interface PageOptions {
  /** Further query that the pages keep, such as `trunk_sid`. */
  readonly filter?: { readonly [name: string]: string };
  /** How many entries there are, where that is known: the rest is then not looked at. */
  readonly total?: number;
}

/**
 * Cuts one page out of all entries.
 * @param path of the list, without a query
 */
export const pageOf = <T>(all: Iterable<T>, query: PageQuery, path: string, options: PageOptions = {}): Page<T> => {
  const size = Math.min(Number(query.page_size ?? DEFAULT_PAGE_SIZE), MAX_PAGE_SIZE);
  const offset = Number(query.offset ?? 0);
  const items: T[] = [];
  let counted = 0;
  for (const one of all) {
    if (options.total !== undefined && counted >= Math.min(options.total, offset + size)) break;
    if (counted >= offset && counted < offset + size) items.push(one);
    counted++;
  }
  const total = options.total ?? counted;
  const rest = Object.entries(options.filter ?? {}).map(([name, value]) => `&${name}=${encodeURIComponent(value)}`);
  const uri = (from: number): string => `${path}?offset=${from}&page_size=${size}${rest.join('')}`;
  return {
    items,
    total,
    number: Math.floor(offset / size) + 1,
    metadata: {
      page_size: size,
      first_page_uri: uri(0),
      prev_page_uri: offset === 0 ? null : uri(Math.max(0, offset - size)),
      next_page_uri: offset + size < total ? uri(offset + size) : null,
    },
  };
};
