// Who sits where. All on loopback addresses of their own, so that source addresses mean something to the ACLs.
export const PORT = 5060;
export const TANDEM = '127.0.21.1';
export const CALLER = '127.0.21.2';
export const CALLEE = '127.0.21.3';
export const KAMAILIO = '127.0.21.5';
export const PROBER = '127.0.21.6';
export const NUMBER = '+918040000001';
