/** The import table of docs/architecture.md: a folder may import only what its row allows. */
const only = (name, from, allowed) => ({
  name,
  severity: 'error',
  from: { path: from },
  to: { path: '^src/', pathNot: [from, ...allowed] },
});
const npmOnlyIn = (pkg, where) => ({
  name: `npm-${pkg}-only-there`,
  severity: 'error',
  from: { path: '^src/', pathNot: where },
  to: { path: `node_modules/${pkg}/` },
});
const K = '^src/kernel/';

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    only('kernel', '^src/kernel/', []),
    only('config', '^src/config/', [K]),
    only('net', '^src/net/', [K]),
    only('sip', '^src/sip/', [K]),
    only('sip-message', '^src/sip/message/', [K]),
    only('sip-transport', '^src/sip/transport/', [K, '^src/sip/message/', '^src/sip/ports']),
    only('sip-locate', '^src/sip/locate/', [K, '^src/sip/message/', '^src/sip/ports']),
    only('sip-auth', '^src/sip/auth/', [K, '^src/sip/message/']),
    only('sip-transaction', '^src/sip/transaction/', [K, '^src/sip/(message|transport)/', '^src/sip/ports']),
    only('drachtio', '^src/drachtio/', [K, '^src/sip/']),
    only('signal', '^src/signal/', [K, '^src/sip/index']),
    only('call-pure', '^src/call/(admission|routing|flow|applets|record|health|registration)/', [
      K,
      '^src/call/(admission|routing|flow|applets|record|health|registration)/',
      '^src/media/port',
    ]),
    only('call-live', '^src/call/(bridge|session)/', [K, '^src/signal/', '^src/call/', '^src/media/(index|port)']),
    only('media', '^src/media/', [K]),
    only('store', '^src/store/', [K, '^src/call/']),
    only('control', '^src/control/', [K, '^src/call/(admission|routing|flow|applets|record|health|registration)/']),
    only('admin', '^src/admin/', [K, '^src/config/', '^src/call/', '^src/store/', '^src/control/index']),
    only('observe', '^src/observe/', [K, '^src/call/', '^src/signal/']),
    npmOnlyIn('drachtio-srf', '^src/signal/'),
    npmOnlyIn('libphonenumber-js', '^src/call/routing/(numberingPlans|countries)'),
    npmOnlyIn('ioredis', '^src/store/redis/'),
    npmOnlyIn('fastify', '^src/admin/'),
    npmOnlyIn('@fastify/swagger', '^src/admin/openapi'),
    npmOnlyIn('pino', '^src/(observe|main)'),
    npmOnlyIn('drachtio-fsmrf', '^src/media/freeswitch/'),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
