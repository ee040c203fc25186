/** Who may import whom: STYLE 4.2. The compiler keeps `protocol` and `shared` free of Node and DOM; this keeps the arrows straight. */
module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'protocol-imports-only-itself',
      severity: 'error',
      from: { path: '^protocol/src', pathNot: '\\.test\\.ts$' },
      to: { pathNot: ['^protocol/src', '^node_modules/(@noble|tweetnacl)'], dependencyTypesNot: ['core'] },
    },
    {
      name: 'protocol-touches-node-only-in-its-node-entry',
      severity: 'error',
      from: { path: '^protocol/src', pathNot: ['^protocol/src/node', '\\.test\\.ts$'] },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'shared-imports-protocol-and-validators',
      severity: 'error',
      from: { path: '^shared/src', pathNot: '\\.test\\.ts$' },
      to: {
        pathNot: ['^shared/src', '^protocol/', '^node_modules/(class-validator|class-transformer|reflect-metadata)'],
      },
    },
    {
      name: 'client-never-imports-coordinator',
      severity: 'error',
      from: { path: '^client/src' },
      to: { path: ['^coordinator/', '^node_modules/@nestjs'] },
    },
    {
      name: 'coordinator-never-imports-client',
      severity: 'error',
      from: { path: '^coordinator/src' },
      to: { path: '^client/' },
    },
    {
      name: 'engine-knows-no-network-or-daemon',
      severity: 'error',
      from: { path: '^client/src/engine' },
      to: { path: '^client/src/(daemon|connection|config|cli|round|storage)' },
    },
    {
      name: 'machines-are-pure',
      severity: 'error',
      from: { path: '\\.machine\\.ts$' },
      to: { dependencyTypes: ['core', 'npm'] },
    },
    {
      name: 'dashboard-imports-shared-only',
      severity: 'error',
      from: { path: '^coordinator/dashboard/src' },
      to: { path: ['^coordinator/src', '^client/', '^protocol/'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'tests-support-stays-out',
      severity: 'error',
      from: { path: '/src/', pathNot: '\\.test\\.ts$' },
      to: { path: '^test/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: ['/dist/', 'node_modules'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['types', 'import', 'default'] },
  },
};
