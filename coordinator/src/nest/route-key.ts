/** What a handler is called in the table of routes: method and path, as Nest's decorators give them. */

import { RequestMethod, type Type } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';

/** `undefined` for a method that is no route. */
export function routeKeyOf(controller: Type, handler: object): string | undefined {
  const method = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined;
  if (method === undefined) return undefined;
  const parts = [Reflect.getMetadata(PATH_METADATA, controller), Reflect.getMetadata(PATH_METADATA, handler)];
  const path = parts.flatMap((part) => String(part).split('/')).filter((part) => part !== '');
  return `${RequestMethod[method]} /${path.join('/')}`;
}

/** The routes of controllers, by key. */
export function routesOf(controllers: readonly Type[]): Map<string, { controller: Type; handler: object }> {
  const found = new Map<string, { controller: Type; handler: object }>();
  for (const controller of controllers) {
    // Safe: a class has a prototype of methods.
    const prototype = controller.prototype as Record<string, object>;
    for (const name of Object.getOwnPropertyNames(prototype)) {
      const key = routeKeyOf(controller, prototype[name]);
      if (key !== undefined) found.set(key, { controller, handler: prototype[name] });
    }
  }
  return found;
}

/** @throws Error: a route without a row, or a row without a route; a mistake of ours that no start must survive */
export function expectSameRoutes(controllers: readonly Type[], table: Readonly<Record<string, unknown>>): void {
  const routes = routesOf(controllers);
  const without = [...routes.keys()].filter((key) => !(key in table));
  const unused = Object.keys(table).filter((key) => !routes.has(key));
  if (without.length > 0) throw new Error(`Routes without an entry in the table of routes: ${without.join(', ')}`);
  if (unused.length > 0) throw new Error(`Entries of the table of routes without a route: ${unused.join(', ')}`);
}
