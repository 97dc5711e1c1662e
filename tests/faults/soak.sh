# On a board: a conversation of ROUNDS times TOKENS tokens, saved after each round and loaded after each tenth; then what the program has of memory and of files.
ROUNDS=$1
TOKENS=$2
mkfifo /tmp/questions
lightmamba serve --device wasm --seed 3 -n "$TOKENS" </tmp/questions >/tmp/answers 2>&1 &
program=$!
exec 3>/tmp/questions
echo "Once upon a time" >&3
round=0
acknowledged=0
while [ $round -lt "$ROUNDS" ]; do
  round=$((round + 1))
  echo >&3
  echo "/save soak" >&3
  acknowledged=$((acknowledged + 1))
  [ $((round % 10)) = 0 ] && echo "/load soak" >&3 && acknowledged=$((acknowledged + 1))
  until [ "$(grep -cx ok /tmp/answers)" = $acknowledged ]; do
    kill -0 $program || { cat /tmp/answers; exit 1; }
    sleep 0.1
  done
  echo "soak: round $round, $(awk '/VmRSS/ { print $2 }' /proc/$program/status) kB, $(ls /proc/$program/fd | wc -l) files"
done
exec 3>&-
wait $program
echo "soak: ended with $?"
