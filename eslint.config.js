import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Clocks, randomness, environment and sockets live only in kernel, net and config (docs/architecture.md). */
const impure = {
  'no-restricted-properties': [
    'error',
    { object: 'Date', property: 'now', message: 'take a Clock from kernel' },
    { object: 'Math', property: 'random', message: 'take a Random from kernel' },
    { object: 'process', property: 'env', message: 'read configuration through src/config' },
    { object: 'performance', property: 'now', message: 'take a Clock from kernel' },
  ],
  'no-restricted-globals': [
    'error',
    { name: 'setTimeout', message: 'use Clock.setTimer' },
    { name: 'setInterval', message: 'use Clock.setTimer' },
    { name: 'setImmediate', message: 'use the Clock or queueMicrotask' },
  ],
  'no-restricted-imports': ['error', { paths: ['node:dgram', 'node:net', 'node:tls', 'dgram', 'net', 'tls'] }],
};

export default tseslint.config(
  { ignores: ['node_modules/**', 'dist/**', 'build/**', '.tap/**', 'var/**'] },
  js.configs.recommended,
  ...tseslint.configs.recommended,
  {
    files: ['src/**/*.ts'],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      ...impure,
      'max-lines': ['error', { max: 400 }],
      'max-params': ['error', 4],
      'max-lines-per-function': ['error', { max: 60, skipComments: true, skipBlankLines: true }],
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      eqeqeq: 'error',
    },
  },
  {
    files: ['src/kernel/**', 'src/net/**', 'src/config/**', 'src/main.ts'],
    rules: {
      'no-restricted-properties': 'off',
      'no-restricted-globals': 'off',
      'no-restricted-imports': 'off',
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['**/*.mjs', '**/*.cjs', '*.js'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        Buffer: 'readonly',
        setTimeout: 'readonly',
        clearTimeout: 'readonly',
        URL: 'readonly',
        module: 'writable',
        setInterval: 'readonly',
        clearInterval: 'readonly',
        fetch: 'readonly',
        performance: 'readonly',
      },
    },
  },
);
