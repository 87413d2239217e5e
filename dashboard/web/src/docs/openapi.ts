// The parts of an OpenAPI 3.1 document that the page shows, and how a schema reads in one line or as an
// example.

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  example?: unknown;
  examples?: unknown[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema | boolean;
  oneOf?: Schema[];
  anyOf?: Schema[];
  allOf?: Schema[];
  nullable?: boolean;
}

interface Content {
  schema?: Schema;
  example?: unknown;
  examples?: Record<string, { value?: unknown }>;
}

export interface Parameter {
  $ref?: string;
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema?: Schema;
}

export interface Body {
  $ref?: string;
  description?: string;
  content?: Record<string, Content>;
}

export interface Operation {
  operationId?: string;
  summary?: string;
  description?: string;
  tags?: string[];
  deprecated?: boolean;
  parameters?: Parameter[];
  requestBody?: Body;
  responses?: Record<string, Body>;
}

export interface Document {
  openapi?: string;
  info?: { title?: string; version?: string; description?: string };
  tags?: { name: string; description?: string }[];
  paths?: Record<string, Record<string, unknown>>;
  components?: Record<string, Record<string, unknown>>;
}

export interface Entry {
  id: string;
  method: string;
  path: string;
  operation: Operation;
}

const methods = ['get', 'post', 'put', 'patch', 'delete', 'head', 'options'];

/** Operations by their first tag, in the document's order. */
export function byTag(document: Document): [string, Entry[]][] {
  const groups = new Map<string, Entry[]>((document.tags ?? []).map(({ name }) => [name, []]));
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const method of methods) {
      const operation = item[method] as Operation | undefined;
      if (!operation) continue;
      const shared = (item.parameters ?? []) as Parameter[];
      const entry = {
        id: `${method}-${path.replace(/[^A-Za-z0-9]+/g, '-')}`,
        method: method.toUpperCase(),
        path,
        operation: { ...operation, parameters: [...shared, ...(operation.parameters ?? [])] },
      };
      const tag = operation.tags?.[0] ?? 'API';
      groups.set(tag, [...(groups.get(tag) ?? []), entry]);
    }
  }
  return [...groups].filter(([, entries]) => entries.length > 0);
}

export function resolve<T extends { $ref?: string }>(document: Document, of: T): T {
  let at = of;
  // A chain of references longer than this is a loop.
  for (let step = 0; step < 8 && at.$ref; step++) {
    let found: unknown = document;
    for (const part of at.$ref.replace(/^#\//, '').split('/')) {
      found = (found as Record<string, unknown> | undefined)?.[
        part.replaceAll('~1', '/').replaceAll('~0', '~')
      ];
    }
    if (!found) break;
    at = found as T;
  }
  return at;
}

export function typeName(document: Document, schema: Schema | undefined): string {
  if (!schema) return 'any';
  if (schema.$ref) return schema.$ref.split('/').pop() ?? 'object';
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  const choices = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (choices) return choices.map((choice) => typeName(document, choice)).join(schema.allOf ? ' & ' : ' | ');
  const types = Array.isArray(schema.type) ? schema.type : [schema.type ?? 'any'];
  const name = types
    .map((type) => (type === 'array' ? `${typeName(document, schema.items)}[]` : type))
    .join(' | ');
  return schema.format ? `${name} (${schema.format})` : name;
}

const DEEPEST = 6;

export function exampleOf(document: Document, schema: Schema | undefined, depth = 0): unknown {
  if (!schema || depth > DEEPEST) return null;
  const of = resolve(document, schema);
  if (of.example !== undefined) return of.example;
  if (of.examples?.length) return of.examples[0];
  if (of.default !== undefined) return of.default;
  if (of.const !== undefined) return of.const;
  if (of.enum?.length) return of.enum[0];
  if (of.allOf) return Object.assign({}, ...of.allOf.map((part) => exampleOf(document, part, depth + 1)));
  const choice = (of.oneOf ?? of.anyOf)?.find((part) => part.type !== 'null');
  if (choice) return exampleOf(document, choice, depth + 1);
  const type = Array.isArray(of.type) ? of.type.find((each) => each !== 'null') : of.type;
  if (type === 'object' || of.properties) {
    const fields = Object.entries(of.properties ?? {});
    return Object.fromEntries(fields.map(([name, field]) => [name, exampleOf(document, field, depth + 1)]));
  }
  if (type === 'array') return [exampleOf(document, of.items, depth + 1)];
  if (type === 'integer' || type === 'number') return 0;
  if (type === 'boolean') return true;
  return of.format === 'date-time' ? '2026-11-01T00:00:00Z' : '…';
}

export function jsonContent(body: Body): [string, Content] | null {
  const entries = Object.entries(body.content ?? {});
  return entries.find(([type]) => type.includes('json')) ?? entries[0] ?? null;
}
