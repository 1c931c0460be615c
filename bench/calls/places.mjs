// Who sits where. All on loopback addresses of their own, so that source addresses mean something to the ACLs.
// BENCH_NET and BENCH_PORT move the whole bench, for two benches beside each other.
const net = process.env.BENCH_NET ?? '127.0.21';
export const PORT = Number(process.env.BENCH_PORT ?? 5060);
export const ADMIN_PORT = PORT + 3020;
export const TANDEM = `${net}.1`;
export const CALLER = `${net}.2`;
export const CALLEE = `${net}.3`;
export const KAMAILIO = `${net}.5`;
export const PROBER = `${net}.6`;
export const NUMBER = '+918040000001';
