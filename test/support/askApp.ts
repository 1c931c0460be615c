/** Asks an administration without a socket. */
import type { Admin } from '../../src/admin/index.js';

export interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: unknown };
  readonly text: string;
  /** The body, where it is JSON. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- answers are looked at member by member
  readonly json: any;
}

export interface AskOptions {
  /** `key:token`; default `admin:a`. Empty: none. */
  readonly as?: string;
  readonly headers?: { readonly [name: string]: string };
}

export interface Wish {
  readonly method: string;
  readonly url: string;
  /** Value of Authorization. */
  readonly authorization?: string | undefined;
  /** Sent as JSON; a string as it is. */
  readonly body?: unknown;
  readonly headers?: { readonly [name: string]: string } | undefined;
  /** Address of who asks. */
  readonly from?: string;
}

export const basic = (credentials: string): string => `Basic ${Buffer.from(credentials).toString('base64')}`;

export const askApp = async (
  { app }: Pick<Admin, 'app'>,
  { method, url, authorization, body, headers, from }: Wish,
): Promise<Answer> => {
  const response = await app.inject({
    method: method as 'GET',
    url,
    ...(from !== undefined && { remoteAddress: from }),
    headers: {
      ...(authorization !== undefined && { authorization }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = response.body;
  const isJson = String(response.headers['content-type']).startsWith('application/json');
  return {
    status: response.statusCode,
    headers: response.headers,
    text,
    json: isJson && text !== '' ? (JSON.parse(text) as unknown) : undefined,
  };
};
