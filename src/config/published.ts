const publish = (node: unknown): unknown => {
  if (Array.isArray(node)) return node.map(publish);
  if (typeof node !== 'object' || node === null) return node;
  const copy: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(node)) copy[key] = publish(value);
  // A keyword of OpenAPI that editors do not know; `oneOf` says the same.
  if (Array.isArray(copy['oneOf'])) delete copy['discriminator'];
  const properties = (node as { properties?: Record<string, { default?: unknown }> }).properties;
  if (Array.isArray(copy['required']) && properties !== undefined) {
    const required = copy['required'].filter((name: string) => properties[name]?.default === undefined);
    if (required.length > 0) copy['required'] = required;
    else delete copy['required'];
  }
  return copy;
};

/** JSON Schema for editors, of the configuration or another document: keys with defaults are not required there. */
export const publishedSchema = (title: string, schema: object): Record<string, unknown> => ({
  $schema: 'http://json-schema.org/draft-07/schema#',
  ...(publish(structuredClone(schema)) as object),
  title,
});
