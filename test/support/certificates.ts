/** X.509 certificates for tests, made on the spot: any name, any dates, signed by whom one likes. */
import { type KeyObject, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  readonly name: string;
  readonly privateKey: KeyObject;
  /** PEM texts. */
  readonly certificate: string;
  readonly key: string;
}

export interface CertificateSpec {
  /** Common name. */
  readonly name: string;
  /** `DNS:pbx.example`, `IP:127.0.0.1`, `URI:sip:pbx.example`. */
  readonly alternatives?: readonly string[];
  /** Default: itself. */
  readonly issuer?: Certificate;
  readonly authority?: boolean;
  /** Default: a day ago, in ten days. */
  readonly from?: Date;
  readonly until?: Date;
}

const DAY_MS = 86_400_000;

const tlv = (tag: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  const { length } = body;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), body]);
};
const sequence = (...parts: Buffer[]): Buffer => tlv(0x30, ...parts);
const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex, 'hex'));
const time = (date: Date): Buffer =>
  tlv(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`));
const named = (name: string): Buffer => sequence(tlv(0x31, sequence(oid('550403'), tlv(0x0c, Buffer.from(name)))));

const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'));
const PEM_TAGS: { readonly [kind: string]: number } = { DNS: 0x82, URI: 0x86, IP: 0x87 };

const alternative = (text: string): Buffer => {
  const kind = text.slice(0, text.indexOf(':'));
  const value = text.slice(kind.length + 1);
  return tlv(PEM_TAGS[kind] as number, kind === 'IP' ? Buffer.from(value.split('.').map(Number)) : Buffer.from(value));
};

const extensions = ({ alternatives = [], authority = false }: CertificateSpec): Buffer => {
  const list: Buffer[] = [];
  if (alternatives.length > 0)
    list.push(sequence(oid('551d11'), tlv(0x04, sequence(...alternatives.map(alternative)))));
  if (authority)
    list.push(
      sequence(oid('551d13'), tlv(0x01, Buffer.from([255])), tlv(0x04, sequence(tlv(0x01, Buffer.from([255]))))),
    );
  return tlv(0xa3, sequence(...list));
};

const pem = (der: Buffer): string => {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
};

export function makeCertificate(spec: CertificateSpec): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { issuer, name } = spec;
  const from = spec.from ?? new Date(Date.now() - DAY_MS);
  const until = spec.until ?? new Date(Date.now() + 10 * DAY_MS);
  const body = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    tlv(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ECDSA_SHA256,
    named(issuer?.name ?? name),
    sequence(time(from), time(until)),
    named(name),
    publicKey.export({ type: 'spki', format: 'der' }),
    extensions(spec),
  );
  const signature = sign('sha256', body, issuer?.privateKey ?? privateKey);
  const der = sequence(body, ECDSA_SHA256, tlv(0x03, Buffer.from([0]), signature));
  return {
    name,
    privateKey,
    certificate: pem(der),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** Writes certificates as files of a new folder: `NAME.pem` and `NAME.key`. @returns the folder */
export function certificateFolder(certificates: { readonly [name: string]: Certificate }): string {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-tls-'));
  for (const [name, made] of Object.entries(certificates)) writeCertificate(folder, name, made);
  return folder;
}

export function writeCertificate(folder: string, name: string, made: Certificate): void {
  writeFileSync(join(folder, `${name}.key`), made.key);
  writeFileSync(join(folder, `${name}.pem`), made.certificate);
}
