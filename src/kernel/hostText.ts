/** `::1` becomes `[::1]`; names, IPv4 addresses and what has brackets already stay as they are. */
export const bracketHost = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);

/** `192.0.2.1:5060`, `[2001:db8::1]:5060`. */
export const hostPort = (host: string, port: number): string => `${bracketHost(host)}:${port}`;
