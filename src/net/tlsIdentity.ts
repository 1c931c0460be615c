/** Certificates of the TLS listeners: chosen by the name that a client asks for, and read anew when their files change. */
import { X509Certificate } from 'node:crypto';
import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { type PeerCertificate, type SecureContext, checkServerIdentity, createSecureContext } from 'node:tls';
import { type Clock, TandemError, type Timer } from '../kernel/index.js';

/** Paths of PEM files. */
export interface CertificateFiles {
  /** The certificate, then those that sign it. */
  readonly certificate: string;
  readonly key: string;
}

export interface TlsSettings {
  /** The first serves clients that ask for no name, or for one that none holds. */
  readonly certificates: readonly CertificateFiles[];
  /** PEM file of the authorities that peers' certificates are checked against; default: those that Node knows. */
  readonly authorities?: string | undefined;
  /** Ask clients for a certificate, and refuse those that have none of `authorities`. Default false. */
  readonly clientCertificates?: boolean | undefined;
}

/** RFC 8996 ends everything below. */
export const MIN_TLS = 'TLSv1.2';
/** Certificate and key are written one after the other: both must be there before they are read. */
const SETTLE_MS = 200;
const MAX_WATCHED_FOLDERS = 64;

/** What a server is set up with: its certificate for clients that ask for no name. */
export interface ServerCertificate {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

interface Loaded {
  readonly x509: X509Certificate;
  readonly context: SecureContext;
  readonly files: ServerCertificate;
}

export class TlsIdentity {
  readonly settings: TlsSettings;
  readonly #clock: Clock;
  readonly #onProblem: (problem: TandemError) => void;
  readonly #watchers: FSWatcher[] = [];
  readonly #users = new Set<(certificate: ServerCertificate) => void>();
  #loaded: readonly Loaded[] = [];
  #timer: Timer | undefined;

  /**
   * @param onProblem a changed file could not be read: the certificates before it stay
   * @throws TandemError `certificate_invalid`
   */
  constructor(settings: TlsSettings, clock: Clock, onProblem: (problem: TandemError) => void) {
    this.settings = settings;
    this.#clock = clock;
    this.#onProblem = onProblem;
    this.#load();
    this.#watch();
  }

  /** The context for a name of a client's SNI (RFC 6066 §3); the first where no certificate holds it. */
  contextFor(serverName: string | undefined): SecureContext {
    const fits = serverName === undefined ? undefined : this.#loaded.find(({ x509 }) => x509.checkHost(serverName));
    return (fits ?? (this.#loaded[0] as Loaded)).context;
  }

  /** The first certificate now, and again whenever it was read anew. @returns ends that */
  follow(use: (certificate: ServerCertificate) => void): () => void {
    this.#users.add(use);
    use((this.#loaded[0] as Loaded).files);
    return () => void this.#users.delete(use);
  }

  /** Reads all files again; connections that are up keep what they have. */
  reload(): void {
    try {
      this.#load();
      for (const use of this.#users) use((this.#loaded[0] as Loaded).files);
    } catch (error) {
      this.#onProblem(error as TandemError);
    }
  }

  dump(): readonly { readonly subject: string; readonly validTo: string }[] {
    return this.#loaded.map(({ x509 }) => ({ subject: x509.subject, validTo: x509.validTo }));
  }

  close(): void {
    this.#timer?.cancel();
    for (const watcher of this.#watchers) watcher.close();
  }

  #load(): void {
    const { certificates, authorities } = this.settings;
    const ca = authorities === undefined ? undefined : read(authorities);
    const loaded = certificates.map(({ certificate, key }) => {
      const trust = ca === undefined ? {} : { ca };
      const files = { cert: read(certificate), key: read(key), ...trust };
      try {
        const context = createSecureContext({ ...files, minVersion: MIN_TLS });
        return { x509: new X509Certificate(files.cert), context, files };
      } catch (cause) {
        throw invalid(`${certificate} and ${key} make no TLS identity`, cause);
      }
    });
    if (loaded.length === 0) throw invalid('there is no certificate', undefined);
    this.#loaded = loaded;
  }

  #watch(): void {
    const { certificates, authorities } = this.settings;
    const files = certificates.flatMap(({ certificate, key }) => [certificate, key]);
    if (authorities !== undefined) files.push(authorities);
    const folders = new Map<string, Set<string>>();
    for (const file of files) {
      const names = folders.get(dirname(file)) ?? new Set();
      folders.set(dirname(file), names.add(basename(file)));
    }
    for (const [folder, names] of [...folders].slice(0, MAX_WATCHED_FOLDERS)) {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        // `..data` is how Kubernetes swaps a mounted secret.
        if (name === null || names.has(name) || name.startsWith('..')) this.#reloadSoon();
      });
      watcher.on('error', () => watcher.close());
      this.#watchers.push(watcher);
    }
  }

  #reloadSoon(): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.setTimer('net.tls.reload', SETTLE_MS, () => this.reload());
  }
}

/**
 * Whether a peer's certificate is that of the SIP domain that was asked for: by a DNS name or address, as for HTTPS, or
 * by a SIP URI, RFC 5922 §7.1.
 */
export function checkSipIdentity(serverName: string, certificate: PeerCertificate): Error | undefined {
  const problem = checkServerIdentity(serverName, certificate);
  if (problem === undefined) return undefined;
  const wanted = `uri:sip:${serverName.toLowerCase()}`;
  const names = (certificate.subjectaltname ?? '').toLowerCase().split(', ');
  return names.includes(wanted) ? undefined : problem;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw invalid(`${path} cannot be read`, cause);
  }
}

function invalid(what: string, cause: unknown): TandemError {
  const detail = cause instanceof Error ? `: ${cause.message}` : '';
  return new TandemError({ code: 'certificate_invalid', message: `${what}${detail}`, cause });
}
