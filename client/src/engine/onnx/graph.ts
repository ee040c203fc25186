/**
 * Builds ONNX graphs node by node.
 *
 * A value is named by a string; an operation takes values and returns the values it makes. Dimensions may be names (`B`, `T`), so
 * that one graph serves batches of any shape. What no output depends on is left out of the file: the code that builds a backward
 * pass may ask for every gradient and pay only for those that are read.
 * Source     onnx.proto3, IR version 8, opset 17, with the contrib operations of onnxruntime (`com.microsoft`, version 1).
 */

import type { DeviceProfile } from './device.js';
import { ProtobufMessage } from './protobuf.js';

/** The name of a tensor within one graph. */
export type Value = string;

export type ElementType = 'float32' | 'uint8' | 'int32' | 'int64';

/** A size that is known, or the name of one that the batch decides. */
export type Dimension = number | string;

/** An attribute: a whole number, several of them, or a float. */
export type Attribute = number | readonly number[] | { readonly float: number };

const elementTypes: Record<ElementType, number> = { float32: 1, uint8: 2, int32: 6, int64: 7 };

const contribOperations: ReadonlySet<string> = new Set(['FusedMatMul', 'MatMulBnb4', 'QuickGelu', 'RotaryEmbedding']);

const ATTRIBUTE_FLOAT = 1;
const ATTRIBUTE_INTEGER = 2;
const ATTRIBUTE_INTEGERS = 7;

interface Node {
  readonly operation: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

interface Port {
  readonly type: ElementType;
  /** Absent where the runtime is to find out. */
  readonly dimensions?: readonly Dimension[];
}

interface Constant extends Port {
  readonly dimensions: readonly Dimension[];
  readonly bytes: Uint8Array;
}

/**
 * Operations whose results are computed again where backward needs them, since they cost less than to keep: views, and what
 * passes over its input once.
 */
const recomputedOperations: ReadonlySet<string> = new Set([
  'Concat',
  'Identity',
  'Mul',
  'Reshape',
  'Shape',
  'Sigmoid',
  'SimplifiedLayerNormalization',
  'Split',
  'Transpose',
]);

/** An ONNX file, and what it gives. */
export interface GraphFile {
  readonly bytes: Uint8Array;
  readonly outputs: readonly string[];
}

/** A computation in two files: `backward` reads the values `kept`, which `forward` gives beside its outputs. */
export interface GraphPair {
  readonly forward: GraphFile;
  readonly backward: GraphFile;
  readonly kept: readonly Value[];
}

export class GraphBuilder {
  constructor(readonly profile: DeviceProfile) {}

  readonly #nodes: Node[] = [];
  readonly #inputs = new Map<Value, Port>();
  readonly #outputs = new Map<Value, Port>();
  readonly #constants = new Map<Value, Constant>();
  #count = 0;
  #forwardNodes = 0;
  #forwardOutputs = 0;

  /** Declares an input; declaring it again, alike, is the same input. */
  input(name: string, type: ElementType, dimensions: readonly Dimension[]): Value {
    this.#inputs.set(name, { type, dimensions });
    return name;
  }

  /** Gives a value to the caller under a name. */
  output(name: string, value: Value, type: ElementType, dimensions: readonly Dimension[]): void {
    this.#nodes.push({ operation: 'Identity', inputs: [value], outputs: [name], attributes: {} });
    this.#outputs.set(name, { type, dimensions });
  }

  /** A constant scalar. */
  scalar(value: number): Value {
    return this.#constant(`scalar:${value}`, 'float32', [], Float32Array.of(value));
  }

  /** A constant list of whole numbers: a shape, axes, sizes. */
  integers(values: readonly number[]): Value {
    return this.#constant(`integers:${values.join(',')}`, 'int64', [values.length], BigInt64Array.from(values, BigInt));
  }

  /** A constant tensor of zeros, or of another value. */
  filled(dimensions: readonly number[], value = 0): Value {
    const count = dimensions.reduce((product, size) => product * size, 1);
    return this.#constant(
      `filled:${dimensions.join('x')}:${value}`,
      'float32',
      dimensions,
      new Float32Array(count).fill(value),
    );
  }

  /** Adds an operation with one result. */
  op(operation: string, inputs: readonly Value[], attributes: Readonly<Record<string, Attribute>> = {}): Value {
    return this.ops(operation, inputs, attributes, 1)[0]; // Safe: one output was asked for.
  }

  /** Adds an operation with several results. */
  ops(
    operation: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, Attribute>>,
    outputCount: number,
  ): Value[] {
    const outputs = Array.from({ length: outputCount }, () => `${operation}:${this.#count++}`);
    this.#nodes.push({ operation, inputs, outputs, attributes });
    return outputs;
  }

  add(a: Value, b: Value): Value {
    return this.op('Add', [a, b]);
  }

  subtract(a: Value, b: Value): Value {
    return this.op('Sub', [a, b]);
  }

  multiply(a: Value, b: Value): Value {
    return this.op('Mul', [a, b]);
  }

  /** alpha * (a or its transpose) x (b or its transpose), over the last two of `rank` axes. */
  matmul(
    a: Value,
    b: Value,
    options: { transA?: boolean; transB?: boolean; alpha?: number; rank?: number } = {},
  ): Value {
    const { transA = false, transB = false, alpha = 1, rank = 2 } = options;
    if (!transA && !transB && alpha === 1) return this.op('MatMul', [a, b]);
    if (this.profile.hasFusedMatmul)
      return this.op('FusedMatMul', [a, b], {
        transA: Number(transA),
        transB: Number(transB),
        alpha: { float: alpha },
      });
    const swapped = Array.from({ length: rank }, (_, axis) => axis)
      .with(rank - 2, rank - 1)
      .with(rank - 1, rank - 2);
    const product = this.op('MatMul', [
      transA ? this.transpose(a, swapped) : a,
      transB ? this.transpose(b, swapped) : b,
    ]);
    return alpha === 1 ? product : this.multiply(product, this.scalar(alpha));
  }

  /**
   * alpha * a x (b or its transpose) + sum, for matrices. `sum` may be broadcast.
   *
   * Cost       The addition is part of the product: cheaper by a pass over the result than `matmul` and `add`.
   */
  gemm(a: Value, b: Value, sum: Value | undefined, options: { transB?: boolean; alpha?: number } = {}): Value {
    const { transB = false, alpha = 1 } = options;
    const inputs = sum === undefined ? [a, b] : [a, b, sum];
    return this.op('Gemm', inputs, { transB: Number(transB), alpha: { float: alpha }, beta: { float: 1 } });
  }

  /** A size of 0 is that of the same axis of the input; one may be -1, which takes the rest. Moves no data. */
  reshape(value: Value, shape: readonly number[] | Value): Value {
    return this.op('Reshape', [value, typeof shape === 'string' ? shape : this.integers(shape)]);
  }

  transpose(value: Value, perm: readonly number[]): Value {
    return this.op('Transpose', [value], { perm });
  }

  concat(values: readonly Value[], axis: number): Value {
    return values.length === 1 ? values[0] : this.op('Concat', values, { axis });
  }

  /** Cuts an axis into parts of the given sizes. */
  split(value: Value, axis: number, sizes: readonly number[]): Value[] {
    return sizes.length === 1 ? [value] : this.ops('Split', [value, this.integers(sizes)], { axis }, sizes.length);
  }

  /** Sum along one axis. */
  sum(value: Value, axis: number, keepAxis = false): Value {
    return this.op('ReduceSum', [value, this.integers([axis])], { keepdims: Number(keepAxis) });
  }

  /** The ONNX file, without what no output depends on. */
  build(): GraphFile {
    return this.#file(this.#reaching([...this.#outputs.keys()]), this.#outputs, this.#inputs);
  }

  /** Ends the forward part: operations and outputs from here on are backward's. */
  beginBackward(): void {
    this.#forwardNodes = this.#nodes.length;
    this.#forwardOutputs = this.#outputs.size;
  }

  /**
   * Two ONNX files, cut at `beginBackward`. What backward reads of forward is kept, or computed anew where that is cheap.
   *
   * Guarantee  both compute what `build` would: a value has one definition, whichever file it stands in.
   */
  buildPair(): GraphPair {
    const outputs = [...this.#outputs];
    const maker = new Map(
      this.#nodes.slice(0, this.#forwardNodes).flatMap((node) => node.outputs.map((name) => [name, node] as const)),
    );
    const backwardNodes = this.#reaching(outputs.slice(this.#forwardOutputs).map(([name]) => name));
    const kept = new Set<Value>();
    const own = new Set<Node>();
    const read = (value: Value): void => {
      const node = maker.get(value);
      if (node === undefined) return; // an input or a constant
      if (!recomputedOperations.has(node.operation)) kept.add(value);
      else if (!own.has(node)) {
        own.add(node);
        node.inputs.forEach(read);
      }
    };
    const after = backwardNodes.filter((node) => !node.outputs.some((name) => maker.has(name)));
    for (const node of after) node.inputs.forEach(read);

    const port: Port = { type: 'float32' };
    const keptPorts = [...kept].map((name) => [name, port] as const);
    const forwardOutputs = new Map([...outputs.slice(0, this.#forwardOutputs), ...keptPorts]);
    const forward = this.#file(this.#reaching([...forwardOutputs.keys()]), forwardOutputs, this.#inputs);
    const before = this.#nodes.filter((node) => own.has(node));
    const backward = this.#file(
      [...before, ...after],
      new Map(outputs.slice(this.#forwardOutputs)),
      new Map([...this.#inputs, ...keptPorts]),
    );
    return { forward, backward, kept: [...kept] };
  }

  #file(nodes: readonly Node[], outputs: ReadonlyMap<Value, Port>, inputs: ReadonlyMap<Value, Port>): GraphFile {
    const used = new Set<Value>(nodes.flatMap((node) => node.inputs));
    const graph = new ProtobufMessage();
    nodes.forEach((node, i) => graph.message(1, nodeMessage(node, i)));
    graph.text(2, 'fedlora');
    for (const [name, constant] of this.#constants)
      if (used.has(name)) graph.message(5, constantMessage(name, constant));
    for (const [name, port] of inputs) if (used.has(name)) graph.message(11, portMessage(name, port));
    for (const [name, port] of outputs) graph.message(12, portMessage(name, port));
    const bytes = new ProtobufMessage()
      .integer(1, 8) // ir_version
      .text(2, 'fedlora')
      .message(7, graph)
      .message(8, new ProtobufMessage().text(1, '').integer(2, 17)) // opset_import
      .message(8, new ProtobufMessage().text(1, 'com.microsoft').integer(2, 1))
      .finish();
    return { bytes, outputs: [...outputs.keys()] };
  }

  /** The operations that the values depend on, in order. */
  #reaching(values: readonly Value[]): Node[] {
    const used = new Set(values);
    const nodes: Node[] = [];
    // Nodes stand after what they read, so one pass from the end sees every reader of a value before its maker.
    for (const node of this.#nodes.toReversed()) {
      if (!node.outputs.some((output) => used.has(output))) continue;
      for (const input of node.inputs) used.add(input);
      nodes.push(node);
    }
    return nodes.reverse();
  }

  #constant(
    name: string,
    type: ElementType,
    dimensions: readonly number[],
    values: Float32Array | BigInt64Array,
  ): Value {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.#constants.set(name, { type, dimensions, bytes });
    return name;
  }
}

function nodeMessage(node: Node, index: number): ProtobufMessage {
  const message = new ProtobufMessage();
  for (const input of node.inputs) message.text(1, input);
  for (const output of node.outputs) message.text(2, output);
  message.text(3, `${node.operation}_${index}`).text(4, node.operation);
  for (const [name, value] of Object.entries(node.attributes)) message.message(5, attributeMessage(name, value));
  if (contribOperations.has(node.operation)) message.text(7, 'com.microsoft');
  return message;
}

function attributeMessage(name: string, value: Attribute): ProtobufMessage {
  const message = new ProtobufMessage().text(1, name);
  if (typeof value === 'number') return message.integer(3, value).integer(20, ATTRIBUTE_INTEGER);
  if ('float' in value) return message.float(2, value.float).integer(20, ATTRIBUTE_FLOAT);
  for (const item of value) message.integer(8, item);
  return message.integer(20, ATTRIBUTE_INTEGERS);
}

function constantMessage(name: string, constant: Constant): ProtobufMessage {
  const message = new ProtobufMessage();
  for (const size of constant.dimensions) message.integer(1, Number(size));
  return message.integer(2, elementTypes[constant.type]).text(8, name).bytes(9, constant.bytes);
}

function portMessage(name: string, port: Port): ProtobufMessage {
  const tensor = new ProtobufMessage().integer(1, elementTypes[port.type]);
  if (port.dimensions !== undefined) tensor.message(2, shapeMessage(port.dimensions));
  return new ProtobufMessage().text(1, name).message(2, new ProtobufMessage().message(1, tensor));
}

function shapeMessage(dimensions: readonly Dimension[]): ProtobufMessage {
  const shape = new ProtobufMessage();
  for (const dimension of dimensions) {
    const size = new ProtobufMessage();
    shape.message(1, typeof dimension === 'number' ? size.integer(1, dimension) : size.text(2, dimension));
  }
  return shape;
}
