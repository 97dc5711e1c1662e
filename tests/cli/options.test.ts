import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { collect, decimal, idList, integer, memoryPlaces, oneOf, onOff } from "../../host/cli/options.ts";

const REFUSED = { code: "commander.invalidArgument" };

describe("integer", () => {
  const parse = integer({ min: 0, max: 10 });
  it("takes whole numbers in its range", () => assert.deepEqual(["0", "7", "10", "007"].map(parse), [0, 7, 10, 7]));
  for (const text of ["", " ", "11", "-1", "1.0", "1e1", "0x1", "ten", "NaN", "1 2", "٣", "99999999999999999999"]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parse(text), REFUSED));
  }
  it("refuses what a double cannot hold", () => assert.throws(() => integer()("9007199254740993"), REFUSED));
  it("says its range", () => {
    assert.throws(() => integer({ min: 2 })("1"), { message: "Expected a whole number from 2." });
    assert.throws(() => integer({ max: 2 })("3"), { message: "Expected a whole number up to 2." });
    assert.throws(() => integer()("x"), { message: "Expected a whole number." });
  });
});

describe("decimal", () => {
  const parse = decimal({ min: 0, above: true, max: 1 });
  it("takes numbers in its range", () =>
    assert.deepEqual(["0.5", ".5", "1", "1.", "5e-1"].map(parse), [0.5, 0.5, 1, 1, 0.5]));
  for (const text of ["", "0", "1.01", "-1", "Infinity", "NaN", "0x1", "1,5", "half", "."]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parse(text), REFUSED));
  }
});

describe("idList", () => {
  it("takes commas and spaces", () => assert.deepEqual(idList("1,2, 3  4,"), [1, 2, 3, 4]));
  for (const text of ["", ",", "1,x", "-1", "1.5", "1;2", "99999999999"]) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => idList(text), REFUSED));
  }
});

describe("onOff", () => {
  it("takes on and off", () => assert.deepEqual(["on", "off"].map(onOff), [true, false]));
  for (const text of ["", "ON", "true", "1"])
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => onOff(text), REFUSED));
});

describe("oneOf", () => {
  const parse = oneOf([4, 6, 8]);
  it("gives the value in its own type", () => assert.deepEqual(["4", "6"].map(parse), [4, 6]));
  it("refuses others and lists all", () =>
    assert.throws(() => parse("5"), { ...REFUSED, message: "Expected 4, 6 or 8." }));
});

describe("memoryPlaces", () => {
  it("takes a file and numbers, in decimal or with 0x", () => {
    const place = { path: "/dev/mem", address: 0x60000000, bytes: 4096 };
    assert.deepEqual(memoryPlaces("/dev/mem,0x60000000,4096"), [place]);
    assert.deepEqual(memoryPlaces("/dev/mem,1610612736,0x1000,0", [place]), [place, { ...place, offset: 0 }]);
  });
  for (const text of ["", "file", "file,1", "file,1,", "file,a,2", "file,-1,2", "file,1,2.5", "file,1,2,3,4", ",1,2"])
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => memoryPlaces(text), REFUSED));
});

describe("collect", () => {
  it("collects", () => assert.deepEqual(collect("b", ["a"]), ["a", "b"]));
  it("starts a list", () => assert.deepEqual(collect("a", undefined), ["a"]));
  it("refuses an empty text", () => assert.throws(() => collect("", []), REFUSED));
});
