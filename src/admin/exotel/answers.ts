/** Shapes of answers, for the OpenAPI document. */
import { type TSchema, Type } from '../../kernel/index.js';

const ErrorDataSchema = Type.Object({
  code: Type.Integer({ description: 'Exotel: 1000 to 1011; ours: 1400 and up' }),
  message: Type.String(),
  description: Type.String(),
});

const item = (data: TSchema) =>
  Type.Object({
    code: Type.Integer(),
    error_data: Type.Union([ErrorDataSchema, Type.Null()]),
    status: Type.Enum(['success', 'failure']),
    data: Type.Union([data, Type.Null()]),
  });

const head = {
  request_id: Type.String({ pattern: '^[0-9a-f]{32}$' }),
  method: Type.String(),
  http_code: Type.Integer(),
};

const data = Type.Object({}, { additionalProperties: true });
const SingleSchema = Type.Object({ ...head, response: item(data) });
const FailureSchema = Type.Object({ ...head, response: item(Type.Null()) });
const ListSchema = Type.Object({
  ...head,
  metadata: Type.Object(
    {
      page_size: Type.Integer(),
      first_page_uri: Type.String(),
      prev_page_uri: Type.Union([Type.String(), Type.Null()]),
      next_page_uri: Type.Union([Type.String(), Type.Null()]),
    },
    { additionalProperties: true },
  ),
  response: Type.Array(item(data)),
});
const BulkSchema = Type.Object({
  ...head,
  metadata: Type.Object({ total: Type.Integer(), success: Type.Integer(), failed: Type.Integer() }),
  response: Type.Array(item(data)),
});

const faults = (...statuses: readonly number[]) =>
  Object.fromEntries([...statuses, 401, 403, 404, 429].map((status) => [status, FailureSchema]));

/** One resource. */
export const oneRead = { 200: SingleSchema, ...faults(400) };
export const oneChanged = { 200: SingleSchema, ...faults(400, 409, 412, 415, 503) };
/** A page of resources. */
export const pageRead = { 200: ListSchema, ...faults(400) };
/** Several at once; 207 when one of them failed. */
export const bulkChanged = { 200: BulkSchema, 207: BulkSchema, ...faults(400, 412, 415, 503) };
