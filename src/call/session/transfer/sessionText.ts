/** The little that a transfer reads and changes in session descriptions: whole lines, everything else byte by byte. */

const HELD = /^a=(?:sendonly|recvonly|inactive)(\r?)$/gm;
/** RFC 2543 §B.5: on hold, and without an address of its own. */
const NOWHERE = /^c=IN IP4 0\.0\.0\.0/m;

/** A description that somebody else can be offered: hold was between the two of before (RFC 3264 §8.4). */
export const resumed = (description: string | undefined): string | undefined =>
  description === undefined || !description.startsWith('v=0') || NOWHERE.test(description)
    ? undefined
    : description.replaceAll(HELD, 'a=sendrecv$1');

/** Where media go: address and port of each stream, in their order. */
const placesOf = (description: string): string => {
  const places: string[] = [];
  let session = '';
  for (const line of description.split('\n')) {
    if (line.startsWith('m=')) places.push(`${line.split(' ', 2).join(' ')} ${session}`);
    else if (!line.startsWith('c=')) continue;
    else if (places.length === 0) session = line.trim();
    else places[places.length - 1] = `${places.at(-1)?.split(' ', 2).join(' ') ?? ''} ${line.trim()}`;
  }
  return places.join('\n');
};

/** Whether a leg that described itself in one way and then in another still takes its media in the same place. */
export const samePlaces = (one: string, other: string): boolean => placesOf(one) === placesOf(other);
